import { credentialKey, type ScopeKeys, type ScopeUpdate } from '#model/scope'
import type { UnreadItem } from '#model/scope-codec'

type Kind = UnreadItem['kind']

const words: Record<Kind, string> = {
  identities: 'WorkloadIdentity',
  services: 'Service',
  bindings: 'CredentialBinding',
  credentials: 'credential',
}
const kinds = Object.keys(words) as Kind[]
const maxNamed = 3

/** Why an update is not in effect; `leftOut`: all but these items are. */
export interface Problem {
  readonly error: string
  readonly leftOut?: Record<Kind, string[]>
}

/** What is not in effect of the scope that a stream has brought, for this version cannot read it. */
export interface LeftOut {
  /** To be called with each update; undefined: nothing is left out after it. */
  after(update: ScopeUpdate, unread: readonly UnreadItem[]): Problem | undefined
}

const nameOf = ({ name }: { name: string }) => name

/** What an update says something of. */
function touched({ upsert, remove }: ScopeUpdate): ScopeKeys {
  const credentials = upsert.credentials.map(({ spiffeId, sourceName }) =>
    credentialKey(spiffeId, sourceName),
  )
  return {
    identities: [...upsert.identities.map(nameOf), ...remove.identities],
    services: [...upsert.services.map(nameOf), ...remove.services],
    bindings: [...upsert.bindings.map(nameOf), ...remove.bindings],
    credentials: [...credentials, ...remove.credentials],
  }
}

export function openLeftOut(): LeftOut {
  const missing = new Map<string, UnreadItem>()
  const keysOf = (kind: Kind) =>
    [...missing.values()].filter((item) => item.kind === kind).map(({ key }) => key)
  return {
    after(update, unread) {
      if (update.reset) missing.clear()
      if (missing.size > 0) {
        const said = touched(update)
        for (const kind of kinds) for (const key of said[kind]) missing.delete(`${kind} ${key}`)
      }
      for (const item of unread) missing.set(`${item.kind} ${item.key}`, item)
      if (missing.size === 0) return undefined
      const first = missing.values().take(maxNamed)
      const named = Array.from(first, ({ kind, key, why }) => `${words[kind]} ${key} (${why})`).join(', ')
      const more = missing.size > maxNamed ? ` and ${missing.size - maxNamed} more` : ''
      return {
        // What to do comes first: the control plane shows the beginning of what is long.
        error: `update the daemon: it leaves out what it cannot read, ${named}${more}`,
        leftOut: {
          identities: keysOf('identities'),
          services: keysOf('services'),
          bindings: keysOf('bindings'),
          credentials: keysOf('credentials'),
        },
      }
    },
  }
}
