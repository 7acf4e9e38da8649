import type { AuditRecord, ChangeRecord } from '#model/audit'

/** The control plane's audit trail: appended, never changed, bounded by size, followed live. */
export interface AuditTrail extends AsyncDisposable {
  /** Appends records; resolves when they are on disk. Records whose id and type are known already are dropped. */
  append(records: readonly AuditRecord[]): Promise<void>
  /** Records one change of the control plane's own, stamping id and time. */
  change(record: Omit<ChangeRecord, 'type' | 'id' | 'at'>): Promise<void>
  /**
   * Whether records can be kept: by trying, where the last could not, where there was none since the start, and always
   * `byTrying`. @throws Fault AUDIT_UNAVAILABLE
   */
  expectWritable(how?: { byTrying: boolean }): Promise<void>
  /** The newest `limit` records in order, then, with `follow`, those that come, until abort. */
  read(options: { limit: number; follow: boolean; signal: AbortSignal }): AsyncIterable<AuditRecord>
}
