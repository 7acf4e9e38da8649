/**
 * The development stack: emulator, control plane and daemon on one machine, joined and ready, and the story that
 * the demo tells with it. It starts them as processes and speaks to them like any user; it holds no product logic.
 */
export { runDemo, runEnclosedDemo } from './demo.ts'
export { runDev } from './dev.ts'
