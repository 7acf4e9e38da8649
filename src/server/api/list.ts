import { isFault } from '#base/errors'
import type { Kind, KindDefinition, Resource } from '#model/resource'
import type { Resources } from '#server/store'
import { continueToken, type ListOptions } from './list-options.ts'
import { RequestRefusal } from './status.ts'
import type { ListMeta } from './table.ts'

/** A list cannot go on: it says how to, for those who can live with a list of two moments. */
function expired(after: string): RequestRefusal {
  const message =
    'The provided continue parameter is too old to display a consistent list result. ' +
    'Start a new list without it, or go on with the continue of this answer: what follows is then as it is now, ' +
    'and what changed before its position since the list began is not seen.'
  return new RequestRefusal(410, 'Expired', message, { metadata: { continue: continueToken({ after }) } })
}

/** @throws RequestRefusal 504 when `wanted` is not there yet: a client that knows better asks again */
export function expectNotOlder(present: string, wanted: string | undefined): void {
  if (wanted === undefined || Number(wanted) <= Number(present)) return
  const message = `Timeout: Too large resource version: ${wanted}, current: ${present}`
  throw new RequestRefusal(504, 'Timeout', message, {
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  })
}

/**
 * One part of a list, as all its parts stand at one revision, however much is written in between. That holds at
 * least for as long as the store keeps the changes since; later it may be 410, with a way to go on.
 * @throws RequestRefusal 410, 504; Fault STORE_REVISION_GONE
 */
export async function listPart(
  resources: Pick<Resources, 'scan' | 'count'>,
  { kind }: KindDefinition<Kind>,
  namespace: string | undefined,
  { continuation, exact, limit, resourceVersion, selection }: ListOptions,
): Promise<{ objects: Resource[]; metadata: ListMeta }> {
  const at = continuation ? continuation.revision : exact ? resourceVersion : undefined
  const after = continuation?.after
  const objects: Resource[] = []
  try {
    let revision = ''
    for await (const page of resources.scan(kind, { namespace, atRevision: at, after })) {
      revision = page.resourceVersion
      if (!exact) expectNotOlder(revision, resourceVersion)
      for (const [index, scanned] of page.objects.entries()) {
        const object = scanned.read()
        if (selection.matches(object)) objects.push(object)
        const isLast = !page.more && index === page.objects.length - 1
        if (objects.length < limit || isLast) continue
        const rest = { after: scanned.position, atRevision: revision }
        const metadata = {
          resourceVersion: revision,
          continue: continueToken({ after: scanned.position, revision }),
          // How many of the rest are selected, nobody has counted.
          ...(selection.everything && {
            remainingItemCount: await resources.count(kind, { namespace, ...rest }),
          }),
        }
        return { objects, metadata }
      }
    }
    return { objects, metadata: { resourceVersion: revision } }
  } catch (error) {
    if (!isFault(error, 'STORE_REVISION_GONE')) throw error
    if (after !== undefined) throw expired(after)
    // What is yet to come is not what is no longer known: a client need not begin anew.
    for await (const { resourceVersion: present } of resources.scan(kind, { namespace })) {
      expectNotOlder(present, at)
      break
    }
    throw error
  }
}
