/**
 * Every metric there is. Labels take values from small closed sets or object names, never from requests:
 * a workload must not be able to grow the series, and no label ever holds a secret (design invariant 5).
 * Gauges have no labels.
 */
export const metricCatalogue = {
  exchange_attempts: {
    kind: 'counter',
    help: 'Exchanges of a workload token for a cloud credential, by outcome',
    labels: ['source', 'outcome'],
  },
  exchange_duration_seconds: {
    kind: 'histogram',
    help: 'Time that one exchange took, refused ones included',
    labels: ['source'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  credentials: { kind: 'gauge', help: 'Credentials that are valid now', labels: [] },
  daemons_connected: { kind: 'gauge', help: 'Daemons whose stream is open', labels: [] },
  scope_updates: { kind: 'counter', help: 'Scope updates sent to daemons', labels: [] },
  reconcile_duration_seconds: {
    kind: 'histogram',
    help: 'Time to recompute states and scopes after a change',
    labels: [],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  },
  status_writes: { kind: 'counter', help: 'Status updates written, by kind of resource', labels: ['kind'] },
  event_loop_delay_seconds: {
    kind: 'histogram',
    help: 'How late timers fire: nothing else of the process gets its turn meanwhile',
    labels: [],
    buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  audit_records: { kind: 'counter', help: 'Audit records appended, by type', labels: ['type'] },
} as const satisfies Record<string, MetricDefinition>

interface MetricDefinition {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Upper bounds; seconds where the name says so. */
  readonly buckets?: readonly number[]
}

type Catalogue = typeof metricCatalogue
type NamesOf<Kind> = {
  [Name in keyof Catalogue]: Catalogue[Name]['kind'] extends Kind ? Name : never
}[keyof Catalogue]

export type CounterName = NamesOf<'counter'>
export type GaugeName = NamesOf<'gauge'>
export type HistogramName = NamesOf<'histogram'>
/** Exactly the labels that the catalogue lists for a metric. */
export type LabelsOf<Name extends keyof Catalogue> = Readonly<
  Record<Catalogue[Name]['labels'][number], string>
>
