import type { KeyObject } from 'node:crypto'
import type { Secret } from '#base/secret'
import type { StoreOperation } from '#server/store'

export interface SealedChanges {
  readonly all: boolean
  readonly changed: ReadonlyMap<string, Secret | undefined>
}

/**
 * Keeps secrets of the control plane sealed at rest (AES-256-GCM under the sealing key, the name as associated
 * data) in the store. Names are paths such as `exchange/aws-prod/spiffe://...`.
 */
export interface Custody {
  /** Throws Fault SEALING_KEY_WRONG or STORE_CORRUPT when the blob does not open. */
  load(name: string): Promise<Secret | undefined>
  save(name: string, secret: Secret): Promise<void>
  /** Creates only: returns what is there when another got there first. */
  saveNew(name: string, secret: Secret): Promise<Secret>
  remove(name: string): Promise<void>
  /** The operation that removes, for a transaction with others. */
  removal(name: string): StoreOperation
  /** Names under a prefix, in order. */
  names(prefix: string): Promise<readonly string[]>
  /**
   * Everything under a prefix (`all`), then what changes, undefined for what is gone, until abort. A blob that does
   * not open counts as gone. @throws Fault STORE_UNAVAILABLE
   */
  follow(prefix: string, options: { signal: AbortSignal }): AsyncIterable<SealedChanges>
  /** A private key (PKCS#8 inside), created by `create` on first use. */
  privateKey(name: string, create: () => KeyObject): Promise<KeyObject>
}
