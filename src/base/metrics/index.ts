/**
 * Measurements under the OpenTelemetry API, shown in the Prometheus text format; one table names them all.
 * It opens no listener (programs serve `render()` beside their health) and it never sees request data.
 */
export { openMetrics, silentMetrics } from './metrics.ts'
export type { Metrics, MetricsRegistry } from './metrics.ts'
export { observeEventLoop } from './event-loop.ts'
export { metricCatalogue } from './catalogue.ts'
export type { CounterName, GaugeName, HistogramName, LabelsOf } from './catalogue.ts'
