import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metricCatalogue, openMetrics } from './index.ts'

test('what was measured is rendered under the name of the catalogue, with its help and labels', async () => {
  await using metrics = openMetrics()
  metrics.count('exchange_attempts', { source: 'aws', outcome: 'ok' })
  metrics.count('exchange_attempts', { source: 'aws', outcome: 'ok' }, 2)
  metrics.gauge('credentials', 5)
  metrics.observe('exchange_duration_seconds', { source: 'aws' }, 0.3)
  const text = await metrics.render()
  assert.match(text, /^# HELP tideway_exchange_attempts_total Exchanges of a workload token/m)
  assert.match(text, /^tideway_exchange_attempts_total\{source="aws",outcome="ok"\} 3$/m)
  assert.match(text, /^tideway_credentials 5$/m)
  assert.match(text, /^tideway_exchange_duration_seconds_bucket\{source="aws",le="0.5"\} 1$/m)
})

test('a gauge shows its last value and counters keep growing over several renderings', async () => {
  await using metrics = openMetrics()
  metrics.gauge('credentials', 5)
  metrics.count('scope_updates', {})
  await metrics.render()
  metrics.gauge('credentials', 0)
  metrics.count('scope_updates', {})
  const text = await metrics.render()
  assert.match(text, /^tideway_credentials 0$/m)
  assert.match(text, /^tideway_scope_updates_total 2$/m)
})

test('metric names follow the conventions of Prometheus', () => {
  for (const [name, { kind }] of Object.entries(metricCatalogue)) {
    assert.match(name, /^[a-z][a-z_]*[a-z]$/)
    assert.equal(name.endsWith('_seconds'), kind === 'histogram', name)
  }
})
