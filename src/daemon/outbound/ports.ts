import type { KeyObject, X509Certificate } from 'node:crypto'
import type { ConnectionOrigin } from '#daemon/capture'
import type { ScopedIdentity } from '#model/scope'

/** Who a connection belongs to, by attestation and selectors. */
export type Verdict =
  | { readonly kind: 'stranger' }
  | { readonly kind: 'identified'; readonly identity: ScopedIdentity; readonly executable: string }

/** Answers who opened a connection. Called once per connection, and again after `revalidate` said no. */
export interface Identifier {
  identify(origin: ConnectionOrigin): Promise<Verdict>
  /**
   * Whether the verdict of an open connection still holds: cheap, called before every request (security rule 10).
   * False after exec, credential change, exit or a change of policy: then `identify` is asked again.
   */
  stillHolds(origin: ConnectionOrigin): boolean
}

/** The CA with which leaves are minted: an intermediate constrained to the bound hosts (security rule 17). */
export interface LeafAuthority {
  readonly key: KeyObject
  /** The intermediate first, then its root. */
  readonly chain: readonly X509Certificate[]
  /** The bound hosts. */
  readonly hosts: readonly string[]
}

/** Where audit records go, each a line of JSON. */
export interface AuditSink {
  /**
   * Resolves once the line, which is about identity `owner`, is in the spool: only then may the signed head leave.
   * @throws Fault AUDIT_UNAVAILABLE, and BUFFERS_EXHAUSTED where only `owner` has no more room
   */
  start(line: string, owner: string): Promise<void>
  end(line: string): void
}

/** A test override of where a host is dialled, from daemon settings only (never from a resource). */
export interface ConnectTo {
  readonly host: string
  readonly port: number
  readonly address: string
  readonly addressPort: number
}
