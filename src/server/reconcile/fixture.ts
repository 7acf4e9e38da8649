import { openTestClock } from '#base/clock'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import { parseTrustDomain, parseWorkloadId } from '#model/identity'
import { expectResource, type Kind, type ResourceOf } from '#model/resource'
import type { CaptureLevel } from '#model/scope'
import type { ExchangeState, Probe } from '#server/exchange'
import { openDaemonPlaces } from './daemon-places.ts'
import { placesOf, type Plan } from './plan.ts'
import { openPlanner } from './planner.ts'
import type { FollowingDaemon } from './ports.ts'
import { openReportBook } from './reports.ts'
import { nothingLeftOut } from './room.ts'
import type { Effect, Stream } from './scopes.ts'
import type { Objects } from './surroundings.ts'
import type { World } from './world.ts'

export const trustDomain = parseTrustDomain('example.org')
let uid = 0

/** A valid stored object; each is a second younger than the one before. */
export function makeObject<K extends Kind>(
  kind: K,
  name: string,
  spec: object,
  { namespace = 'riptides-system' } = {},
): ResourceOf<K> {
  const group = kind === 'Verifier' || kind === 'JoinToken' ? 'auth' : 'core'
  const metadata = {
    name,
    namespace,
    uid: `uid-${++uid}`,
    generation: 1,
    resourceVersion: String(uid),
    creationTimestamp: new Date(1_767_225_600_000 + uid * 1000).toISOString(),
  }
  const apiVersion = `${group}.riptides.io/v1alpha1`
  return expectResource({ apiVersion, kind, metadata, spec }).draft as unknown as ResourceOf<K>
}

export const identity = (name: string, workloadID: string, rest: object = {}, place = {}) =>
  makeObject(
    'WorkloadIdentity',
    name,
    {
      workloadID,
      scope: { daemon: { id: 'riptides/daemon/one' } },
      selectors: [{ 'process:uid': 1000, 'process:name': 'x' }],
      ...rest,
    },
    place,
  )

export const source = (name: string, aws: object = {}, place = {}) =>
  makeObject(
    'CredentialSource',
    name,
    { aws: { roleArn: 'arn:aws:iam::123456789012:role/r', ...aws } },
    place,
  )

export const service = (name: string, hosts: readonly string[], rest: object = {}, place = {}) =>
  makeObject(
    'Service',
    name,
    { labels: { app: name }, addresses: hosts.map((address) => ({ address })), ...rest },
    place,
  )

export const binding = (
  name: string,
  workloadID: string,
  credentialSource: string,
  app: string,
  rest: object = {},
  place = {},
) =>
  makeObject(
    'CredentialBinding',
    name,
    { workloadID, credentialSource, propagation: { injection: { selectors: [{ app }] } }, ...rest },
    place,
  )

export function objectsOf(...objects: readonly ResourceOf<Kind>[]): Objects {
  return {
    list: <K extends Kind>(kind: K, namespace?: string) =>
      objects.filter(
        (object) =>
          object.kind === kind && (namespace ?? object.metadata.namespace) === object.metadata.namespace,
      ) as ResourceOf<K>[],
  }
}

/** What the planner makes of objects that came in this order. */
export function planOf(...objects: readonly ResourceOf<Kind>[]): Plan {
  return planWithin(undefined, ...objects)
}

/** The same where scopes have so much room. */
export function planWithin(maxScopeBytes: number | undefined, ...objects: readonly ResourceOf<Kind>[]): Plan {
  const planner = openPlanner(trustDomain, maxScopeBytes)
  for (const object of objects) planner.set(object)
  planner.replan()
  return planner.plan
}

export function daemonNamed(
  name: string,
  { groups = [], captureLevel = 'process' }: { groups?: string[]; captureLevel?: CaptureLevel } = {},
): FollowingDaemon {
  return { name, workloadId: parseWorkloadId(`riptides/daemon/${name}`), groups, captureLevel }
}

/** A stream that is in step, but for `rest`, and on which every binding is as far as `effect`. */
export function streamOf(name: string, effect: Effect = { state: 'OK' }, rest: Partial<Stream> = {}): Stream {
  return {
    daemon: daemonNamed(name),
    conditions: [],
    isArriving: false,
    synchronised: true,
    sent: 1,
    acknowledged: 1,
    error: undefined,
    effectOf: () => effect,
    ...rest,
  }
}

export function credentialNamed(accessKeyId: string): AwsCredential {
  return {
    kind: 'aws',
    accessKeyId,
    secretAccessKey: Secret.of('secret'),
    sessionToken: Secret.of('token'),
    issuedAt: 1_767_225_600_000,
    expiresAt: 1_767_229_200_000,
  }
}

/** A world around objects in which everything answers, unless told otherwise. */
export function worldOf(
  objects: Objects,
  {
    streams = [],
    exchanges = () => undefined,
    discovery = { state: 'ok' },
    endpoint = { state: 'ok' },
    maxScopeBytes,
  }: {
    streams?: readonly Stream[]
    exchanges?: (key: string) => ExchangeState | undefined
    discovery?: Probe
    endpoint?: Probe
    maxScopeBytes?: number
  } = {},
): World {
  const daemons = openDaemonPlaces()
  for (const daemon of objects.list('Daemon')) daemons.set(daemon.metadata.name, daemon)
  const reports = openReportBook()
  for (const { daemon, conditions } of streams)
    if (!daemons.isGone(daemon.name)) reports.replace(daemon.name, conditions)
  const plan = planWithin(
    maxScopeBytes,
    ...objects.list('WorkloadIdentity'),
    ...objects.list('CredentialSource'),
    ...objects.list('Service'),
    ...objects.list('CredentialBinding'),
    ...objects.list('Daemon'),
  )
  const leftOut = objects.list('Daemon').map(({ metadata: { name } }) => {
    return [name, plan.leftOut(daemons.of(name))] as const
  })
  return {
    at: openTestClock().now(),
    plan,
    leftOut: new Map(leftOut.filter(([, what]) => what !== nothingLeftOut)),
    daemonsAt: (place) => daemons.at(place),
    streams: {
      stream: (name) => streams.find(({ daemon }) => daemon.name === name),
      streamsAt: (place) => streams.filter(({ daemon }) => placesOf(daemon).includes(place)),
    },
    isGone: (name) => daemons.isGone(name),
    reports,
    obstacleTo: () => undefined,
    exchangeState: exchanges,
    discovery: () => discovery,
    endpoint: () => endpoint,
  }
}
