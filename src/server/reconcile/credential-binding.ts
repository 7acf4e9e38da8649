import type { CredentialBinding } from '#model/resource'
import { credentialId, type Credential } from '#model/credential'
import {
  enumerate,
  judge,
  reportedOn,
  roomFor,
  saidBefore,
  seeItsLog,
  unsupportedIn,
  type DesiredStatus,
  type Judgement,
} from './desired-status.ts'
import { placeOf, type PlannedBinding } from './plan.ts'
import type { Effect } from './scopes.ts'
import type { World } from './world.ts'

const maxDaemonsShown = 200

interface OnDaemon {
  readonly name: string
  readonly captureLevel: string
  readonly effect: Effect | { readonly state: 'LEFT_OUT' }
}

type BindingState = DesiredStatus<'CredentialBinding'>['state']

export function judgeCredentialBinding(
  object: CredentialBinding,
  world: World,
): DesiredStatus<'CredentialBinding'> {
  const binding = world.plan.bindings.get(object.metadata.uid)
  const shared = [...unsupportedIn(object), ...reportedOn(object, world.reports)]
  if (!binding) {
    const { state, reason, message } = world.plan.problems.get(object.metadata.uid)!
    return {
      state,
      message,
      conditions: [judge('Resolved', 'False', reason, message), ...shared],
      own: { credential: undefined, daemons: undefined },
    }
  }
  const services = enumerate(binding.scoped.serviceNames)
  const resolved = judge('Resolved', 'True', 'Found', `identity, source and Service ${services} are there`)
  const credential = world.exchangeState(binding.key)?.credential
  const valid = failureBefore(object, binding, world) ?? credentialCondition(binding, world)
  const daemons = daemonsOf(binding, world)
  const delivered = deliveredCondition(binding, daemons, object.metadata.namespace)
  const [problem, state] = problemOf(valid, delivered, shared)
  return {
    state,
    message:
      problem?.message ??
      `${delivered.message}${valid.reason === 'RenewalFails' ? `; ${valid.message}` : ''}`,
    conditions: [resolved, valid, delivered, ...shared],
    own: {
      credential: credential && shownCredential(credential),
      daemons: daemons.length === 0 ? undefined : daemons.slice(0, maxDaemonsShown).map(shownDaemon(binding)),
    },
  }
}

/** The first thing that keeps the binding from being OK, and what that makes of it. */
function problemOf(
  valid: Judgement,
  delivered: Judgement,
  shared: readonly Judgement[],
): [Judgement | undefined, BindingState] {
  if (valid.status !== 'True') return [valid, valid.status === 'False' ? 'FAILED' : 'PENDING']
  if (delivered.status !== 'True') return [delivered, delivered.status === 'False' ? 'FAILED' : 'PENDING']
  const [unsupported] = shared.filter(({ type }) => type === 'Unsupported')
  return unsupported ? [unsupported, 'PENDING'] : [undefined, 'OK']
}

/** That no credential came, or that its renewal failed, stands until that has been tried again. */
function failureBefore(
  object: CredentialBinding,
  { key }: PlannedBinding,
  { exchangeState }: World,
): Judgement | undefined {
  const { credential, isUntried } = exchangeState(key) ?? {}
  const said = isUntried ? saidBefore(object, 'CredentialValid') : undefined
  const isOver = credential ? said?.reason !== 'RenewalFails' : said?.status === 'True'
  return isOver ? undefined : said
}

/** False: an operator must act. Unknown: it may come by itself. */
function credentialCondition(binding: PlannedBinding, { exchangeState, discovery }: World): Judgement {
  const { credential, failure } = exchangeState(binding.key) ?? {}
  const source = `CredentialSource ${binding.scoped.sourceName}`
  if (credential && failure) {
    const until = new Date(credential.expiresAt).toISOString()
    const message = `its renewal fails and it serves until ${until}: ${failure.message}`
    return judge('CredentialValid', 'True', 'RenewalFails', message)
  }
  if (credential) return judge('CredentialValid', 'True', 'Exchanged', `from ${source}`)
  if (failure) {
    const message = `no credential from ${source}: ${failure.message}`
    return judge('CredentialValid', failure.needsOperator ? 'False' : 'Unknown', failure.reason, message)
  }
  const probe = discovery()
  const hint = probe.state === 'failed' ? `; ${probe.message}` : ''
  return judge(
    'CredentialValid',
    'Unknown',
    'UnderWay',
    `the exchange with ${source} is under way: wait for the answer of the cloud${hint}`,
  )
}

function daemonsOf(binding: PlannedBinding, { streams, isGone, leftOut }: World): OnDaemon[] {
  const places = new Set(binding.identities.map(placeOf))
  const concerned = [...places].flatMap((place) => streams.streamsAt(place))
  // One daemon may be at several of the places.
  return [...new Map(concerned.map((stream) => [stream.daemon.name, stream])).values()]
    .filter(({ daemon }) => !isGone(daemon.name))
    .map(({ daemon, effectOf }) => ({
      name: daemon.name,
      captureLevel: daemon.captureLevel,
      effect: leftOut.get(daemon.name)?.bindings.has(binding.scoped.name)
        ? { state: 'LEFT_OUT' as const }
        : effectOf(binding),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

function deliveredCondition(
  { scoped, identities }: PlannedBinding,
  daemons: readonly OnDaemon[],
  namespace: string,
): Judgement {
  const named = (state: OnDaemon['effect']['state']) => daemons.filter(({ effect }) => effect.state === state)
  const names = (list: readonly OnDaemon[]) => enumerate(list.map(({ name }) => name))
  const withheld = named('WITHHELD')
  const failing = named('FAILED')
  const waiting = named('PENDING')
  if (daemons.length === 0) {
    const identity = enumerate(identities.map(({ scoped }) => scoped.name))
    return judge(
      'Delivered',
      'Unknown',
      'NoDaemon',
      `no connected daemon is in the scope of WorkloadIdentity ${identity}: join one, or correct its spec.scope`,
    )
  }
  if (withheld.length > 0) {
    const levels = enumerate(
      withheld.map(({ name, captureLevel }) => `${name} captures at level ${captureLevel}`),
    )
    return judge(
      'Delivered',
      'False',
      'CaptureTooWeak',
      `the binding demands capture level ${scoped.minimumCapture}, and ${levels}: raise it there, ` +
        'or lower spec.minimumCapture',
    )
  }
  const leftOut = named('LEFT_OUT')
  if (leftOut.length > 0) {
    return judge(
      'Delivered',
      'False',
      'ScopeFull',
      `the scope of daemon ${names(leftOut)} has no room for it: ${roomFor(namespace)}`,
    )
  }
  if (failing.length > 0) {
    const { effect } = failing[0]!
    const why = effect.state === 'FAILED' ? effect.message : ''
    return judge(
      'Delivered',
      'False',
      'DaemonFailed',
      `daemon ${names(failing)} cannot put it into effect (${why}): ${seeItsLog}`,
    )
  }
  if (waiting.length > 0) {
    return judge(
      'Delivered',
      'Unknown',
      'Waiting',
      `waiting for daemon ${names(waiting)} to put it into effect, which takes a moment; if it stays so ${seeItsLog}`,
    )
  }
  return judge('Delivered', 'True', 'Acknowledged', `in effect on daemon ${names(daemons)}`)
}

function shownCredential(credential: Credential) {
  const { issuedAt, expiresAt } = credential
  return {
    id: credentialId(credential),
    issuedAt: new Date(issuedAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
  }
}

function shownDaemon({ scoped }: PlannedBinding) {
  return ({ name, captureLevel, effect }: OnDaemon) => {
    switch (effect.state) {
      case 'FAILED':
        return { name, ...effect }
      case 'LEFT_OUT':
        return { name, state: 'FAILED' as const, message: 'its scope has no room for it' }
      case 'WITHHELD': {
        const message = `captures at level ${captureLevel}, the binding demands ${scoped.minimumCapture}`
        return { name, state: effect.state, message }
      }
      default:
        return { name, state: effect.state }
    }
  }
}
