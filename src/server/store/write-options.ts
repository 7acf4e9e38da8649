import type { User } from '#model/access'
import type { Resource } from '#model/resource'
import type { PropagationPolicy } from './deletion.ts'

/** A valid write before it happens. */
export interface Review {
  readonly operation: 'create' | 'update' | 'delete'
  /** Without write-only fields. */
  readonly object: Resource
  readonly previous?: Resource
  /** Whether a write-only value changes. */
  readonly concealed?: boolean
  /** Who writes; absent for the server itself. */
  readonly actor?: User
}

/** Looks at a valid write before it happens: returns warnings, or throws a Fault to refuse it. */
export type Admission = (review: Review) => readonly string[] | Promise<readonly string[]>

export interface WriteOptions {
  /** For whom, so that admissions can judge what he may do; absent for the server itself. */
  readonly actor?: User
  /** Is told what would be written once nothing stands against it. */
  readonly observe?: (review: Review) => void
  /** Everything but the write itself. */
  readonly dryRun?: boolean
  /** Is told what the writer should know. */
  readonly warn?: (warning: string) => void
  /** Who owns the fields that change; `tideway` unless given. */
  readonly fieldManager?: string
  /** `status`: the status is written and nothing else; otherwise everything else. */
  readonly subresource?: 'status' | undefined
  /** What becomes of fields that the kind does not have: refused unless given. */
  readonly unknownFields?: 'refuse' | 'warn' | 'drop'
}

/** What must hold of the object that is deleted, and what becomes of those that it owns. */
export interface DeleteOptions {
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
  /** `Background` unless given. */
  readonly propagationPolicy?: PropagationPolicy | undefined
}

export const ownManager = 'tideway'
