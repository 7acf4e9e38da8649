/**
 * Says in the words of operators why a TLS connection came to nothing, and what to do about it: one table for both
 * sides of an interception. It decides nothing: what is trusted is up to whoever connects.
 */
export { tellTlsFailure, tlsReason } from './tls-failure.ts'
