/**
 * Reads the first flight of a TLS client without taking part in the handshake: who it wants to reach, and how.
 * It promises a bounded, total answer for any bytes. It decrypts nothing and does not judge cipher suites.
 */
export { parseClientHello } from './client-hello.ts'
export type { ClientHello } from './client-hello.ts'
