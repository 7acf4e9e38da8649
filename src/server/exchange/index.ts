/**
 * Trades workload tokens for temporary cloud credentials and keeps those fresh: one exchange at a time per
 * (identity, source), backed off by kind of refusal, sealed so that a restart exchanges nothing again.
 * It decides neither who needs a credential (`server/reconcile`) nor who gets to see it.
 */
export { openHttpClient, type HttpAnswer, type HttpClient, type HttpOverride } from './http-client.ts'
export { awsExchange, stsEndpoint, type Exchange, type ExchangeTarget } from './aws.ts'
export type { ExchangeFailure, FailureKind } from './failure.ts'
export { describeUnreachable } from './failure.ts'
export { openCredentials, type Credentials } from './credentials.ts'
export type { CredentialChanges } from './ports.ts'
export { requestRotation, serveRotations, type Rotation } from './rotations.ts'
export { openExchanges, type Exchanges, type ExchangeState } from './exchanges.ts'
export { openProbes, type Probe, type Probes } from './probes.ts'
