import { isDeepStrictEqual } from 'node:util'
import { Option } from 'commander'
import { isFault } from '#base/errors'
import { withoutNulls, type Resource, type ResourceDraft } from '#model/resource'
import type { ResourceClient, Verdict } from '#client/resource-api'

/** Whether a command is tried only, and by whom: `kubectl --dry-run`. */
export type DryRun = 'none' | 'server' | 'client'

export const dryRunNotes: Readonly<Record<DryRun, string>> = {
  none: '',
  server: ' (server dry run)',
  client: ' (dry run)',
}

/** Without a word, as kubectl once took it, it is the server that checks: that finds more. */
export function dryRunOption(): Option {
  return new Option(
    '--dry-run [STRATEGY]',
    'change nothing: "server" lets the server check everything, "client" only looks at what is there',
  )
    .choices(Object.keys(dryRunNotes))
    .preset('server')
    .default('none')
}

function changes({ metadata: wanted, ...draft }: ResourceDraft, before: Resource): boolean {
  const { metadata, status: _, ...content } = before
  const { status: __, ...own } = withoutNulls(draft) as typeof draft
  return (
    !isDeepStrictEqual(own, content) ||
    (['labels', 'annotations'] as const).some(
      (marks) => !isDeepStrictEqual({ ...metadata[marks], ...wanted[marks] }, { ...metadata[marks] }),
    )
  )
}

/** What applying would do, by what can be read: of `draft` nothing is checked, and nothing is sent. */
export async function foresee(api: Pick<ResourceClient, 'get'>, draft: ResourceDraft): Promise<Verdict> {
  const { name, namespace } = draft.metadata
  try {
    return changes(draft, await api.get(draft.kind, name, { namespace })) ? 'configured' : 'unchanged'
  } catch (error) {
    if (isFault(error, 'RESOURCE_NOT_FOUND')) return 'created'
    throw error
  }
}
