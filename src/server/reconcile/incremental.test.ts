import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { openTestClock } from '#base/clock'
import type { Credential } from '#model/credential'
import type { Kind, Resource } from '#model/resource'
import type { Scope } from '#model/scope'
import type { ExchangeState } from '#server/exchange'
import { openChanges } from './changes.ts'
import {
  binding,
  credentialNamed,
  daemonNamed,
  identity,
  makeObject,
  objectsOf,
  service,
  source,
  trustDomain,
  worldOf,
} from './fixture.ts'
import { judgeDaemon } from './daemon.ts'
import { judgedKinds, judgeObject } from './judging.ts'
import { placeOf, placesOf, type Plan } from './plan.ts'
import { openRoom } from './room.ts'
import { scopeFor } from './scope-delta.ts'
import { openScopes } from './scopes.ts'
import type { ResourceEvent } from '#server/store'
import { keyOf, openSurvey, type ObjectKey } from './survey.ts'
import { searchFor, type Objects } from './surroundings.ts'
import { planWorkload } from './workload-plan.ts'
import type { World } from './world.ts'

// A small world, so that names meet: who takes whose workload ID, source, Service, daemon or group.
const names = fc.constantFrom('a', 'b')
const namespaces = fc.constantFrom('riptides-system', 'riptides-system', 'riptides-system', 'other')
const workloads = fc.constantFrom('app/a', 'app/b')
const labels = fc.constantFrom({ app: 'a' }, { app: 'b' }, { app: 'a', tier: 'b' }, { tier: 'b' })
const groups = ['blue', 'green']
const daemonNames = ['one', 'two']

const where = fc.oneof(
  fc.constantFrom(...daemonNames).map((name) => ({ daemon: { id: `riptides/daemon/${name}` } })),
  fc.constantFrom(...groups).map((id) => ({ daemonGroup: { id } })),
)

const sometimes = <T extends object>(rest: T) => fc.constantFrom({}, {}, rest)

const someObject: fc.Arbitrary<() => Resource> = fc.oneof(
  fc.tuple(names, workloads, where, namespaces, sometimes({ captureAll: true })).map(
    ([name, workloadID, scope, namespace, rest]) =>
      () =>
        identity(name, workloadID, { scope, ...rest }, { namespace }),
  ),
  fc.tuple(names, fc.constantFrom('r', 's'), namespaces).map(
    ([name, role, namespace]) =>
      () =>
        source(name, { roleArn: `arn:aws:iam::123456789012:role/${role}` }, { namespace }),
  ),
  fc
    .tuple(
      names,
      labels,
      fc.subarray(['x.com', '*.x.com', 'y.x.com'], { minLength: 1 }),
      namespaces,
      fc.constantFrom({}, {}, { signing: { service: 's3', region: 'r' } }, { external: true }),
    )
    .map(([name, labels, hosts, namespace, rest]) => () => {
      return service(name, hosts, { labels, ...rest }, { namespace })
    }),
  fc
    .tuple(
      names,
      workloads,
      names,
      fc.array(fc.oneof(labels, fc.constant({ tier: ['a', 'b'], app: 'a' })), { minLength: 1, maxLength: 2 }),
      namespaces,
      fc.constantFrom({}, {}, { minimumCapture: 'user' }, { plainTextReason: 'a cable' }),
    )
    .map(([name, workloadID, from, selectors, namespace, rest]) => () => {
      const propagation = { injection: { selectors } }
      return binding(name, workloadID, from, '', { propagation, ...rest }, { namespace })
    }),
  // Rarely one that has the workload ID of identities.
  fc.tuple(fc.constantFrom(...daemonNames, ...daemonNames, 'three'), fc.subarray(groups)).map(
    ([name, daemonGroups]) =>
      () =>
        makeObject('Daemon', name, {
          workloadID: name === 'three' ? 'app/a' : `riptides/daemon/${name}`,
          claimerType: 'JoinToken',
          daemonGroups,
        }),
  ),
)

type Step =
  | { readonly do: 'put'; readonly make: () => Resource }
  /** All in one transaction, or in between two looks. `remake`: gone, and there again under its name. */
  | { readonly do: 'put all'; readonly all: readonly (() => Resource)[]; readonly remake: boolean }
  | {
      readonly do: 'status' | 'delete' | 'finalize' | 'credential' | 'failure' | 'acknowledge' | 'report'
      readonly which: number
    }
  | { readonly do: 'connect' | 'hang up'; readonly which: number }

const someStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: someObject.map((make): Step => ({ do: 'put', make })) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('put all' as const),
      all: fc.array(someObject, { minLength: 1, maxLength: 3 }),
      remake: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'status',
        'delete',
        'finalize',
        'credential',
        'failure',
        'acknowledge',
        'report',
        'connect',
        'hang up',
      ),
      which: fc.nat(20),
    }),
  },
)

/** A binding that is in effect on a daemon: most steps then change something. */
const beginning: readonly Step[] = [
  {
    do: 'put',
    make: () => makeObject('Daemon', 'one', { workloadID: 'riptides/daemon/one', claimerType: 'JoinToken' }),
  },
  { do: 'put', make: () => identity('a', 'app/a') },
  { do: 'put', make: () => source('a') },
  { do: 'put', make: () => service('a', ['x.com']) },
  { do: 'put', make: () => binding('a', 'app/a', 'a', 'a') },
  { do: 'credential', which: 1 },
  { do: 'connect', which: 0 },
  { do: 'acknowledge', which: 18 },
]

/** What there is, and what is kept up to date about it. */
function openBed(maxScopeBytes: number) {
  const objects = new Map<ObjectKey, Resource>()
  const credentials = new Map<string, Credential>()
  const failures = new Map<string, ExchangeState['failure']>()
  const changes = openChanges()
  const scopes = openScopes({ changes })
  let at = openTestClock().now()
  const valid = (key: string) => {
    const credential = credentials.get(key)
    return credential && credential.expiresAt > at ? credential : undefined
  }
  const survey = openSurvey({
    trustDomain,
    valid,
    streamOf: (name) => scopes.stream(name),
    maxScopeBytes,
  })
  const streams = new Map<
    string,
    { updates: AsyncIterator<unknown>; next: Promise<unknown>; stop: AbortController }
  >()
  /** States as they were judged when they were last said to be touched. */
  const states = new Map<ObjectKey, unknown>()

  const world = (): World => ({
    at,
    plan: survey.plan,
    daemonsAt: survey.daemonsAt,
    streams: scopes,
    isGone: survey.isGone,
    reports: survey.reports,
    leftOut: survey.leftOut,
    obstacleTo: survey.obstacleTo,
    exchangeState(key) {
      const target = survey.plan.targets.get(key)
      const credential = valid(key)
      const failure = failures.get(key)
      return (
        target &&
        ({ target, ...(credential && { credential }), ...(failure && { failure }) } as ExchangeState)
      )
    },
    discovery: () => ({ state: 'ok' }),
    endpoint: () => ({ state: 'ok' }),
  })

  const living = () =>
    objectsOf(
      ...[...objects]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([, object]) => object)
        .filter(({ metadata }) => metadata.deletionTimestamp === undefined),
    )

  const judged = (object: Resource, world: World) =>
    object.kind === 'Daemon' ? judgeDaemon(object, world) : judgeObject(object, world)

  /** New bindings wait for their credentials for five or six of these. */
  function look(): void {
    at += 100
    const { places, objects: touched, unhurried, syncing } = survey.findings(changes.take(), at)
    scopes.publish(survey.plan, (key) => survey.credentialOf(key, at), places)
    for (const key of new Set([...touched, ...unhurried, ...syncing])) {
      const object = objects.get(key)
      if (object && (object.kind === 'Daemon' || object.metadata.deletionTimestamp === undefined))
        states.set(key, judged(object, world()))
      else states.delete(key)
    }
  }

  function put(object: Resource): Pick<ResourceEvent, 'type' | 'object'>[] {
    const before = objects.get(keyOf(object))
    const metadata = before
      ? { ...before.metadata, generation: before.metadata.generation + 1 }
      : object.metadata
    const after = { ...object, metadata } as Resource
    objects.set(keyOf(after), after)
    return [{ type: before ? 'MODIFIED' : 'ADDED', object: after }]
  }

  function remake(object: Resource): ReturnType<typeof put> {
    const before = objects.get(keyOf(object))
    objects.set(keyOf(object), object)
    const deleted = before ? [{ type: 'DELETED' as const, object: before }] : []
    return [...deleted, { type: 'ADDED', object }]
  }

  async function take(step: Step): Promise<void> {
    const pick = <T>(items: Iterable<T>): T | undefined => {
      const all = [...items]
      return 'which' in step && all.length > 0 ? all[step.which % all.length] : undefined
    }
    const daemon = daemonNamed(pick(daemonNames) ?? 'one', { groups: ['blue'] })
    switch (step.do) {
      case 'put':
        survey.absorb(put(step.make()))
        break
      case 'put all':
        survey.absorb(step.all.flatMap((make) => (step.remake ? remake(make()) : put(make()))))
        break
      case 'status': {
        const object = pick(objects.values())
        if (!object) break
        // Of daemons, that they are gone or back.
        const state = (['DISCONNECTED', 'OK', 'PENDING'] as const)[step.which % 3]
        const status = { message: `told ${step.which}`, ...(object.kind === 'Daemon' && { state }) }
        const written = { ...object, status } as Resource
        objects.set(keyOf(object), written)
        survey.absorb([{ type: 'MODIFIED', object: written }])
        break
      }
      case 'finalize': {
        const object = pick(objects.values())
        if (!object) break
        const metadata = { ...object.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' }
        const going = { ...object, metadata } as Resource
        objects.set(keyOf(object), going)
        survey.absorb([{ type: 'MODIFIED', object: going }])
        break
      }
      case 'delete': {
        const object = pick(objects.values())
        if (!object) break
        objects.delete(keyOf(object))
        survey.absorb([{ type: 'DELETED', object }])
        break
      }
      case 'credential': {
        const key = pick(survey.plan.targets.keys())
        if (key === undefined) break
        // Some expire while nothing else is told of them.
        const expiresAt = at + (step.which % 4 === 1 ? 300 : 3_600_000)
        if (step.which % 4 === 0) credentials.delete(key)
        else credentials.set(key, { ...credentialNamed(`ASIA${step.which}`), expiresAt })
        changes.credential(key)
        break
      }
      case 'failure': {
        const key = pick(survey.plan.targets.keys())
        if (key === undefined) break
        const failure = {
          kind: 'denied',
          reason: 'SubjectRefused',
          message: 'because',
          needsOperator: true,
        } as const
        if (step.which % 2 === 0) failures.delete(key)
        else failures.set(key, failure)
        changes.credential(key)
        break
      }
      case 'connect': {
        streams.get(daemon.name)?.stop.abort()
        const stop = new AbortController()
        const updates = scopes.follow(daemon, { signal: stop.signal })[Symbol.asyncIterator]()
        streams.set(daemon.name, { stop, updates, next: updates.next() })
        break
      }
      case 'hang up':
        streams.get(daemon.name)?.stop.abort()
        await streams.get(daemon.name)?.updates.return?.()
        streams.delete(daemon.name)
        break
      case 'acknowledge': {
        const revision = 1 + (step.which % 3)
        const leftOut = { identities: [], services: ['b'], bindings: ['a'], credentials: [] }
        if (step.which % 5 === 0) scopes.acknowledge(daemon.name, revision, 'no memory')
        else if (step.which % 7 === 0) scopes.acknowledge(daemon.name, revision, 'too new', leftOut)
        else scopes.acknowledge(daemon.name, revision)
        break
      }
      default: {
        const subject = step.which % 2 === 0 ? 'daemon' : 'workloadidentity/a'
        const condition = { subject, type: 'Any', status: 'False', reason: 'Any', message: 'bad' } as const
        scopes.observe(daemon.name, step.which % 3 === 0 ? [] : [condition])
      }
    }
    await tell()
  }

  /** What is there to be sent is taken, as by daemons that read at once. */
  async function tell(): Promise<void> {
    look()
    for (let rounds = 0; rounds < 4; rounds += 1) await new Promise((resolve) => setImmediate(resolve))
    for (const [, stream] of streams) {
      const waiting = Symbol('waiting')
      while ((await Promise.race([stream.next, Promise.resolve().then(() => waiting)])) !== waiting) {
        stream.next = stream.updates.next()
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    look()
  }

  /** Nothing waits any more. */
  const rest = async () => {
    for (let rounds = 0; rounds < 3; rounds += 1) await tell()
  }

  const close = async () => {
    for (const { stop, updates } of streams.values()) {
      stop.abort()
      await updates.return?.()
    }
  }
  return { objects, living, survey, scopes, valid, states, take, rest, close, world, judged }
}

/** The plan by a look at everything: slow, and simple enough to be seen to be right. */
function planFromScratch(objects: Objects, maxScopeBytes: number): Plan {
  const all = { identities: objects.list('WorkloadIdentity'), bindings: objects.list('CredentialBinding') }
  const daemons = objects.list('Daemon')
  const workloadIds = new Set([...all.identities, ...all.bindings].map(({ spec }) => spec.workloadID))
  const workloads = [...workloadIds].map((id) =>
    planWorkload(
      {
        identities: all.identities.filter(({ spec }) => spec.workloadID === id),
        bindings: all.bindings.filter(({ spec }) => spec.workloadID === id),
        daemons: daemons.filter(({ spec }) => spec.workloadID === id),
      },
      searchFor(trustDomain, objects),
    ),
  )
  const identities = workloads.flatMap((workload) => workload.identities)
  const bindings = workloads.flatMap((workload) => workload.bindings)
  const setsOf = <K, V>(items: readonly V[], keysOf: (item: V) => readonly K[]) =>
    new Map(
      [...new Set(items.flatMap(keysOf))].map((key) => [
        key,
        new Set(items.filter((item) => keysOf(item).includes(key))),
      ]),
    )
  const identitiesAt = setsOf(identities, (identity) => [placeOf(identity)])
  const bindingsOf = Map.groupBy(bindings, ({ scoped }) => scoped.spiffeId)
  const room = openRoom(maxScopeBytes)
  for (const workload of workloads) room.count(workload, 'add')
  return {
    trustDomain,
    identities: new Map(identities.map((identity) => [identity.scoped.name, identity])),
    identitiesOf: Map.groupBy(identities, ({ scoped }) => scoped.spiffeId),
    shadowed: new Map(workloads.flatMap(({ shadowed }) => [...shadowed])),
    bindings: new Map(bindings.map((binding) => [binding.uid, binding])),
    problems: new Map(workloads.flatMap(({ problems }) => [...problems])),
    bindingsOf,
    bindingsOfService: setsOf(bindings, ({ scoped }) => scoped.serviceNames),
    bindingsOfSource: setsOf(bindings, ({ scoped }) => [scoped.sourceName]),
    identitiesAt,
    targets: new Map(bindings.map(({ key, target }) => [key, target])),
    leftOut: room.leftOut,
  }
}

const sorted = (scope: Scope) => ({
  identities: new Map(scope.identities),
  services: new Map(scope.services),
  bindings: new Map(scope.bindings),
  credentials: new Map([...scope.credentials].map(([key, { credential }]) => [key, credential])),
})

/** For all, for a binding and a few identities, for one or two of these. */
const someRoom = fc.constantFrom(1_000_000, 13_000, 1_800)

test('after any changes, plan, scopes and states are what they would be from scratch', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(someStep, { minLength: 1, maxLength: 12 }), someRoom, async (steps, room) => {
      const bed = openBed(room)
      try {
        for (const step of [...beginning, ...steps]) await bed.take(step)
        await bed.rest()
        const living = bed.living()
        const plan = planFromScratch(living, room)
        assert.deepEqual({ ...bed.survey.plan, leftOut: plan.leftOut }, plan)

        const streams = bed.scopes.streams()
        for (const { daemon, wanted } of streams) {
          const places = placesOf(daemon)
          assert.deepEqual(bed.survey.plan.leftOut(places), plan.leftOut(places))
          const expected = scopeFor(plan, daemon, (key) =>
            plan.targets.has(key) ? bed.valid(key) : undefined,
          )
          assert.deepEqual(sorted(wanted), sorted(expected))
        }

        const { exchangeState } = bed.world()
        const world = worldOf(living, { streams, exchanges: exchangeState, maxScopeBytes: room })
        for (const [key, object] of bed.objects) {
          if (!(judgedKinds as readonly Kind[]).includes(object.kind)) continue
          if (object.kind !== 'Daemon' && object.metadata.deletionTimestamp !== undefined) continue
          assert.deepEqual(bed.states.get(key), bed.judged(object, world), key)
        }
      } finally {
        await bed.close()
      }
    }),
    { numRuns: 300 },
  )
})
