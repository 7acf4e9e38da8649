/**
 * Reads what the kernel knows about a process and turns it into selector attributes.
 */
export type { Attestation, Attestor } from './attestor.ts'
