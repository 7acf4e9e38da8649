import { forbidden, notSupported, type FieldError } from '#model/resource'
import type { ServedKind } from './events-view.ts'
import { flag, single, type Query } from './resource-request.ts'
import { selectionFrom, type Selection } from './selectors.ts'
import { badRequest, invalidOptions } from './status.ts'

/** Where a list goes on: after a position, at the revision of the parts before. */
export interface Continuation {
  /** Absent: at the present one, for that of the parts before is no longer known. */
  readonly revision?: string
  readonly after: string
}

/** What a request for a collection asks, in the terms of Kubernetes' `ListOptions`. */
export interface ListOptions {
  readonly selection: Selection
  readonly watch: boolean
  readonly limit: number
  readonly continuation: Continuation | undefined
  /** Absent: the newest there is, which is also what 0 means here. */
  readonly resourceVersion: string | undefined
  /** Whether exactly that version is wanted, not one that is no older. */
  readonly exact: boolean
  readonly bookmarks: boolean
  readonly sendInitialEvents: boolean | undefined
  readonly timeoutSeconds: number | undefined
}

/** Opaque to clients; Kubernetes' form, with -1 for the present revision. */
export function continueToken({ revision, after }: Continuation): string {
  const token = { v: 'meta.k8s.io/v1', rv: revision === undefined ? -1 : Number(revision), start: after }
  return Buffer.from(JSON.stringify(token)).toString('base64url')
}

function readContinuation(token: string): Continuation {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as Record<string, unknown>
    if (
      v === 'meta.k8s.io/v1' &&
      Number.isSafeInteger(rv) &&
      typeof start === 'string' &&
      !/\p{Cc}/u.test(start)
    ) {
      return rv === -1 ? { after: start } : { revision: String(rv), after: start }
    }
  } catch {
    // As any other that is none of ours.
  }
  throw badRequest('continue key is not valid: it must be taken from the answer before')
}

function count(query: Query, name: string): number | undefined {
  const value = single(query, name)
  if (value !== undefined && !/^\d{1,9}$/.test(value)) throw badRequest(`${name} must be a number`)
  return value === undefined ? undefined : Number(value)
}

/** What is wrong with options together (apimachinery, meta/internalversion/validation). */
function optionErrors({
  watch,
  resourceVersion,
  match,
  sendInitialEvents,
  isContinued,
}: {
  readonly watch: boolean
  readonly resourceVersion: string | undefined
  readonly match: string | undefined
  readonly sendInitialEvents: boolean | undefined
  readonly isContinued: boolean
}): FieldError[] {
  const field = 'resourceVersionMatch'
  const [exact, notOlder] = ['Exact', 'NotOlderThan']
  const isMatched = match !== undefined
  const isStreamed = sendInitialEvents !== undefined
  const unsupported = (values: readonly string[]) => notSupported(field, match, values)
  const whenContinued = forbidden(field, 'resourceVersionMatch is forbidden when continue is provided')
  const ofWatches: readonly (readonly [boolean, FieldError])[] = [
    [
      isStreamed && match !== notOlder,
      forbidden(field, 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'),
    ],
    [
      isMatched && !isStreamed,
      forbidden(field, 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'),
    ],
    [isMatched && match !== notOlder, unsupported([notOlder])],
    [isContinued, whenContinued],
  ]
  const ofLists: readonly (readonly [boolean, FieldError])[] = [
    [
      isMatched && resourceVersion === undefined,
      forbidden(field, 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
    ],
    [isMatched && isContinued, whenContinued],
    [isMatched && match !== exact && match !== notOlder, unsupported([exact, notOlder, ''])],
    [
      match === exact && resourceVersion === '0',
      forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    ],
    [isStreamed, forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list')],
  ]
  return (watch ? ofWatches : ofLists).flatMap(([isWrong, error]) => (isWrong ? [error] : []))
}

/** @throws RequestRefusal 400, and 422 for options that do not go together */
export function listOptionsFrom(query: Query, definition: ServedKind): ListOptions {
  const watch = flag(query, 'watch') ?? false
  const given = single(query, 'resourceVersion')
  const match = single(query, 'resourceVersionMatch')
  const token = single(query, 'continue')
  const sendInitialEvents = flag(query, 'sendInitialEvents')
  const limit = count(query, 'limit') ?? 0
  if (given !== undefined && !/^\d{1,15}$/.test(given)) throw badRequest('resourceVersion must be a number')
  const isContinued = token !== undefined
  const errors = optionErrors({ watch, resourceVersion: given, match, sendInitialEvents, isContinued })
  if (errors.length > 0) throw invalidOptions('ListOptions', errors)
  if (isContinued && (given ?? '0') !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue')
  }
  const resourceVersion = given === '0' ? undefined : given
  return {
    selection: selectionFrom(query, definition),
    watch,
    limit: limit === 0 ? Infinity : limit,
    continuation: token === undefined ? undefined : readContinuation(token),
    resourceVersion,
    // A first part of so many objects has always meant that very version.
    exact: match === 'Exact' || (match === undefined && limit > 0 && resourceVersion !== undefined),
    bookmarks: flag(query, 'allowWatchBookmarks') ?? false,
    // A watch from nowhere has always begun with what there is.
    sendInitialEvents: sendInitialEvents ?? (watch && resourceVersion === undefined ? true : undefined),
    timeoutSeconds: count(query, 'timeoutSeconds') || undefined,
  }
}
