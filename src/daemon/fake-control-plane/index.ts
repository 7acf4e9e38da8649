/**
 * For tests: a control plane on loopback that speaks the real protocol over real TLS, and sends what a test puts
 * in. No program imports it.
 */
export { openFakeControlPlane } from './fake-control-plane.ts'
export type { FakeControlPlane } from './fake-control-plane.ts'
