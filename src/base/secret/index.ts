/**
 * A wrapper for bytes that must not be shown: printing, serialising or inspecting it yields `[secret]`.
 * It cannot erase what V8 has copied; it keeps secrets out of logs, errors and JSON by construction.
 */
export { Secret } from './secret.ts'
