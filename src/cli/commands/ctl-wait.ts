import { Fault, isFault } from '#base/errors'
import type { CommonStatus, KindDefinition, Resource } from '#model/resource'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'
import { qualifiedName } from './print-objects.ts'
import { selectionsOf, type Place } from './selection.ts'

function statusOf(object: Resource | undefined): CommonStatus {
  return (object as { status?: CommonStatus } | undefined)?.status ?? {}
}

function situationOf(object: Resource): string {
  const { state = 'in no state yet', message } = statusOf(object)
  const said = message === undefined ? `it is ${state}` : `it is ${state}: ${message}`
  return isAboutNow(object) ? said : `${said} (of an earlier generation)`
}

/** Whether the status is about the specification as it is; one that says nothing of that is taken at its word. */
function isAboutNow(object: Resource): boolean {
  const { observedGeneration } = statusOf(object)
  return observedGeneration === undefined || observedGeneration === object.metadata.generation
}

/** Refuses a state that no object of the kind can ever have. */
function requireState({ schema, plural }: KindDefinition, text: string): void {
  if (text === 'delete' || text.includes('=')) return
  const { properties } = schema as {
    properties?: { status?: { properties?: { state?: { enum?: string[] } } } }
  }
  const states = properties?.status?.properties?.state?.enum ?? []
  if (states.includes(text)) return
  const known = states.length === 0 ? 'have no state' : `are ${states.join(', ')}`
  throw new Fault('SETTING_INVALID', `--for: ${plural} are never ${JSON.stringify(text)}`, {
    hint: `${plural} ${known}; there is also delete, and condition=TYPE`,
  })
}

/** `delete`, a state, or as kubectl has it `condition=TYPE[=STATUS]`. */
function goalOf(text: string): (object: Resource | undefined) => boolean {
  if (text === 'delete') return (object) => object === undefined
  const [what, type, wanted = 'True'] = text.split('=')
  if (what === 'condition' && type) {
    return (object) =>
      object !== undefined &&
      isAboutNow(object) &&
      (statusOf(object).conditions ?? []).some(
        (condition) => condition.type === type && condition.status.toLowerCase() === wanted.toLowerCase(),
      )
  }
  if (text.includes('='))
    throw new Fault('SETTING_INVALID', '--for: a state, delete, or condition=TYPE is expected')
  return (object) => object !== undefined && isAboutNow(object) && statusOf(object).state === text
}

/** How long a wait that is over asks what the object is now. */
const lastLookMs = 2_000

/** Waits for the objects one after the other. */
export async function wait(
  cli: Cli,
  words: readonly string[],
  options: Place & { for: string; timeout: string },
): Promise<void> {
  const api = openApi(cli, options)
  const seconds = /^(\d+)s?$/.exec(options.timeout)?.[1]
  if (seconds === undefined) throw new Fault('SETTING_INVALID', '--timeout: a number of seconds is expected')
  const expiry = AbortSignal.timeout(Number(seconds) * 1000)
  const signal = AbortSignal.any([cli.signal, expiry])
  const holds = goalOf(options.for)
  const objects = (words.length === 0 ? [] : selectionsOf(words)).flatMap(({ definition, name }) =>
    name === undefined ? [] : [{ definition, name }],
  )
  if (objects.length === 0)
    throw new Fault('SETTING_INVALID', 'say which object to wait for', { hint: 'as KIND/NAME, or KIND NAME' })
  for (const { definition, name } of objects) {
    requireState(definition, options.for)
    try {
      await api.waitFor(definition.kind, name, holds, { signal })
    } catch (error) {
      if (!expiry.aborted) throw error
      const timedOut = (hint: string) =>
        new Fault(
          'SERVER_UNREACHABLE',
          `timed out waiting for ${options.for} on ${definition.plural}/${name}`,
          { hint, cause: error },
        )
      const look = AbortSignal.timeout(lastLookMs)
      const now = await api.get(definition.kind, name, { signal: look }).catch((failure: unknown) => {
        if (isFault(failure, 'RESOURCE_NOT_FOUND')) return undefined
        throw look.aborted ? timedOut('the server does not answer') : failure
      })
      // So that `--timeout 0` is a look, as in kubectl.
      if (!holds(now)) throw timedOut(now ? situationOf(now) : 'it does not exist')
    }
    cli.terminal.print(`${qualifiedName(definition, name)} condition met`)
  }
}
