import { sourceType, type CredentialSource } from '#model/resource'
import { stsEndpoint, type ExchangeState, type Probe } from '#server/exchange'
import {
  enumerate,
  judge,
  notImplemented,
  reportedOn,
  saidBefore,
  unsupportedIn,
  type DesiredStatus,
  type Judgement,
} from './desired-status.ts'
import { scopedName } from './plan.ts'
import type { World } from './world.ts'

export function judgeCredentialSource(
  object: CredentialSource,
  world: World,
): DesiredStatus<'CredentialSource'> {
  const { aws } = object.spec
  const unsupported = unsupportedIn(object)
  if (!aws) {
    const message = `this version obtains no credentials of type ${sourceType(object.spec)}: use spec.aws, or delete it`
    const conditions = [notImplemented(message)]
    return { state: 'FAILED', message, conditions }
  }
  const { origin } = stsEndpoint(aws)
  const discovery = probed(
    object,
    'DiscoveryReachable',
    world.discovery(),
    'the discovery document and keys are what this server publishes',
  )
  const endpoint = probed(object, 'EndpointReachable', world.endpoint(origin), `${origin} answers`)
  const states = exchangesOf(object, world)
  const failing = firstFailing(states)
  const failedBefore = failing ? undefined : failureBefore(object, states)
  const exchanged = failedBefore ?? exchangedCondition(states, failing)
  const conditions = [discovery, endpoint, exchanged, ...unsupported, ...reportedOn(object, world.reports)]
  if (failing) {
    const state = failing.failure.needsOperator ? 'FAILED' : 'PENDING'
    return { state, message: exchanged.message, conditions }
  }
  if (failedBefore) return { state: object.status!.state!, message: exchanged.message, conditions }
  // What a cloud has accepted it could fetch: an exchange that succeeded says more than our own look.
  const checks = exchanged.status === 'True' ? [] : [discovery, endpoint]
  const problem = [...checks.filter(({ status }) => status !== 'True'), ...unsupported][0]
  return {
    state: problem ? 'PENDING' : 'AVAILABLE',
    message: problem?.message ?? exchanged.message,
    conditions,
  }
}

function probed(object: CredentialSource, type: string, probe: Probe, ok: string): Judgement {
  if (probe.state === 'ok') return judge(type, 'True', 'Answered', ok)
  if (probe.state === 'pending') {
    const looking = 'being looked at for the first time, which takes some seconds'
    return saidBefore(object, type) ?? judge(type, 'Unknown', 'Checking', looking)
  }
  return judge(type, 'False', probe.reason, probe.message)
}

function exchangesOf({ metadata }: CredentialSource, { plan, exchangeState }: World): ExchangeState[] {
  const keys = new Set<string>()
  for (const { key } of plan.bindingsOfSource.get(scopedName(metadata)) ?? []) keys.add(key)
  return [...keys].flatMap((key) => exchangeState(key) ?? [])
}

type Failing = ExchangeState & Required<Pick<ExchangeState, 'failure'>>

/** Always the same one of several: that of the first SPIFFE ID. */
function firstFailing(states: readonly ExchangeState[]): Failing | undefined {
  return states
    .filter((state): state is Failing => state.failure !== undefined)
    .reduce<Failing | undefined>(
      (first, state) => (first && first.target.spiffeId <= state.target.spiffeId ? first : state),
      undefined,
    )
}

/** That an exchange failed stands until it has been tried again. */
function failureBefore(object: CredentialSource, states: readonly ExchangeState[]): Judgement | undefined {
  if (!states.some(({ isUntried }) => isUntried)) return undefined
  const said = saidBefore(object, 'Exchanged')
  return said?.status === 'False' ? said : undefined
}

function exchangedCondition(states: readonly ExchangeState[], failing: Failing | undefined): Judgement {
  if (states.length === 0) {
    return judge(
      'Exchanged',
      'Unknown',
      'NoBinding',
      'ready: create a CredentialBinding, which triggers the first exchange',
    )
  }
  if (failing) {
    const { spiffeId } = failing.target
    const serves = failing.credential
      ? `; the present credential serves until ${new Date(failing.credential.expiresAt).toISOString()}`
      : ''
    const { reason, message } = failing.failure
    return judge('Exchanged', 'False', reason, `exchange for ${spiffeId} failed: ${message}${serves}`)
  }
  const waiting = states.filter(({ credential }) => !credential)
  if (waiting.length > 0) {
    const names = enumerate(waiting.map(({ target }) => target.spiffeId))
    return judge(
      'Exchanged',
      'Unknown',
      'UnderWay',
      `the exchange for ${names} is under way: wait for the answer of the cloud`,
    )
  }
  return judge(
    'Exchanged',
    'True',
    'Exchanged',
    `credentials are there for ${enumerate(states.map(({ target }) => target.spiffeId))}`,
  )
}
