/** The objects of a fleet: who runs where, and what is bound. */
import type { ResourceDraft } from '#model/resource'

/** How big a fleet is. */
export interface Size {
  readonly daemons: number
  readonly identities: number
}

export const groupOfAll = 'all'
const services = 20
/** One identity in so many has a binding. */
const boundOneIn = 10

const core = 'core.riptides.io/v1alpha1'
const pad = (number: number) => String(number).padStart(5, '0')

export const daemonName = (index: number) => `scale-${pad(index)}`
export const daemonWorkloadId = (index: number) => `riptides/daemon/${daemonName(index)}`
export const identityId = (index: number) => `scale/app-${pad(index)}`
/** Identities are dealt out to the daemons in turn. */
export const daemonOf = (index: number, { daemons }: Size) => index % daemons
const isBound = (index: number, { daemons }: Size) => Math.floor(index / daemons) % boundOneIn === 0

export function joinToken(index: number, token: string): ResourceDraft {
  return {
    apiVersion: 'auth.riptides.io/v1alpha1',
    kind: 'JoinToken',
    metadata: { name: daemonName(index) },
    spec: { token, workloadID: daemonWorkloadId(index), daemonGroups: [groupOfAll] },
  }
}

export function source(stsUrl: string): ResourceDraft {
  const aws = { roleArn: 'arn:aws:iam::123456789012:role/scale', endpoint: stsUrl, region: 'us-east-1' }
  return { apiVersion: core, kind: 'CredentialSource', metadata: { name: 'cloud' }, spec: { aws } }
}

export function service(name: string, labels: Readonly<Record<string, string>> = {}): ResourceDraft {
  const addresses = [{ address: `${name}.example.com`, port: 443 }]
  const spec = { labels: { app: name, ...labels }, addresses }
  return { apiVersion: core, kind: 'Service', metadata: { name }, spec }
}

export const serviceName = (index: number) => `service-${pad(index % services)}`

function identity(name: string, workloadID: string, scope: object, uid: number): ResourceDraft {
  const selectors = [{ 'process:uid': uid, 'process:binary:path': `/opt/${name}/bin/app` }]
  return {
    apiVersion: core,
    kind: 'WorkloadIdentity',
    metadata: { name },
    spec: { workloadID, scope, selectors, connection: { tls: { intercept: true } } },
  }
}

export function ownIdentity(index: number, size: Size): ResourceDraft {
  const scope = { daemon: { id: daemonWorkloadId(daemonOf(index, size)) } }
  return identity(`app-${pad(index)}`, identityId(index), scope, 10_000 + index)
}

export const sharedId = (index: number) => `scale/shared-${pad(index)}`

/** An identity that runs on all daemons. */
export function sharedIdentity(index: number): ResourceDraft {
  return identity(`shared-${pad(index)}`, sharedId(index), { daemonGroup: { id: groupOfAll } }, 1_000 + index)
}

export function binding(name: string, workloadID: string, app: string): ResourceDraft {
  const propagation = { injection: { selectors: [{ app }] } }
  return {
    apiVersion: core,
    kind: 'CredentialBinding',
    metadata: { name },
    spec: { workloadID, credentialSource: 'cloud', propagation },
  }
}

export const everywhere = 'everywhere'

/** What there is from the start: one identity in ten bound, and one host bound on all daemons. */
export function* standing(size: Size, stsUrl: string): Generator<ResourceDraft> {
  yield source(stsUrl)
  for (let index = 0; index < services; index += 1) yield service(serviceName(index))
  yield service(everywhere)
  yield sharedIdentity(0)
  yield binding(everywhere, sharedId(0), everywhere)
  for (let index = 0; index < size.identities; index += 1) yield ownIdentity(index, size)
  for (let index = 0; index < size.identities; index += 1) {
    if (isBound(index, size)) yield binding(`app-${pad(index)}`, identityId(index), serviceName(index))
  }
}

export function countBound(size: Size): number {
  let bound = 1
  for (let index = 0; index < size.identities; index += 1) if (isBound(index, size)) bound += 1
  return bound
}

/** Identities that have no binding, spread over the daemons. */
export function unbound(size: Size, count: number): number[] {
  const free = Array.from({ length: size.identities }, (_, index) => index).filter(
    (index) => !isBound(index, size),
  )
  const step = Math.max(1, Math.floor(free.length / count))
  return free.filter((_, position) => position % step === 0).slice(0, count)
}
