import type { Attributes, Counter, Gauge, Histogram } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import {
  metricCatalogue,
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
} from './catalogue.ts'

/** Where measurements go. Recording never throws and never waits. */
export interface Metrics {
  count<Name extends CounterName>(name: Name, labels: LabelsOf<Name>, by?: number): void
  gauge(name: GaugeName, value: number): void
  observe<Name extends HistogramName>(name: Name, labels: LabelsOf<Name>, value: number): void
}

/** Metrics that can be shown. */
export interface MetricsRegistry extends Metrics, AsyncDisposable {
  /** Everything measured so far in the Prometheus text format, version 0.0.4. */
  render(): Promise<string>
}

type Instrument = { counter: Counter } | { gauge: Gauge } | { histogram: Histogram }

/** Opens the registry of one program; every metric is called `tideway_` and its name in the catalogue. */
export function openMetrics(): MetricsRegistry {
  // The exporter's own server stays closed: metrics are served beside health, on our listener.
  const exporter = new PrometheusExporter({ preventServerStart: true })
  const serializer = new PrometheusSerializer('', false, undefined, true, true)
  const provider = new MeterProvider({ readers: [exporter] })
  const meter = provider.getMeter('tideway')
  const instruments = new Map<string, Instrument>()
  for (const [name, definition] of Object.entries(metricCatalogue)) {
    const fullName = `tideway_${name}`
    const description = definition.help
    if (definition.kind === 'counter') {
      instruments.set(name, { counter: meter.createCounter(fullName, { description }) })
    } else if (definition.kind === 'gauge') {
      instruments.set(name, { gauge: meter.createGauge(fullName, { description }) })
    } else {
      const advice = { explicitBucketBoundaries: [...definition.buckets] }
      instruments.set(name, { histogram: meter.createHistogram(fullName, { description, advice }) })
    }
  }
  const record = (name: string, labels: Attributes, value: number) => {
    const instrument = instruments.get(name)!
    if ('counter' in instrument) instrument.counter.add(value, labels)
    else if ('gauge' in instrument) instrument.gauge.record(value, labels)
    else instrument.histogram.record(value, labels)
  }
  return {
    count: (name, labels, by = 1) => record(name, labels, by),
    gauge: (name, value) => record(name, {}, value),
    observe: (name, labels, value) => record(name, labels, value),
    async render() {
      const { resourceMetrics, errors } = await exporter.collect()
      if (errors.length > 0) throw new AggregateError(errors, 'metrics could not be collected')
      return serializer.serialize(resourceMetrics)
    },
    [Symbol.asyncDispose]: () => provider.shutdown(),
  }
}

/** Measures nothing: for tests and for programs that show no metrics. */
export const silentMetrics: Metrics = Object.freeze({ count() {}, gauge() {}, observe() {} })
