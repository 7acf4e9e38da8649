/**
 * The development stack: emulator, control plane and daemon on one machine, joined and ready, and the story that
 * the demo tells with it. It starts them as processes and speaks to them like any user; it holds no product logic.
 * The system tests build their stacks from the same parts.
 */
export { runDemo, runEnclosedDemo } from './demo.ts'
export { runDev } from './dev.ts'
export { prepareAccount, type Cloud } from './cloud.ts'
export { planLayout, type Layout } from './layout.ts'
export { cloudAddress, furnishPrivateHost } from './private-host.ts'
export { readRootCredentials } from './stack.ts'
