import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatCircumstances, formatEnd, formatStart, parseAuditRecord } from './index.ts'

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\n', '\u2028', '\ud800'),
)
const optional = fc.option(text, { nil: undefined })

/** As JSON keeps it: without fields that are undefined. */
const kept = (value: object): unknown => JSON.parse(JSON.stringify(value))

test('what is read from a line of a start record is what was written, whatever it holds', () => {
  const circumstances = fc.record(
    {
      spiffeId: text,
      identity: text,
      pid: fc.nat(),
      uid: fc.nat(),
      executable: text,
      host: text,
      port: fc.nat(),
    },
    { requiredKeys: ['pid', 'uid', 'host', 'port'] },
  )
  const decision = fc.constantFrom('injected', 'refused', 'cut')
  const varying = fc.record({ id: text, at: text, method: text, path: text, decision, reason: optional })
  fc.assert(
    fc.property(varying, circumstances, (start, common) => {
      const line = formatStart(start, formatCircumstances(common))
      assert.equal(line.indexOf('\n'), line.length - 1)
      assert.deepEqual(parseAuditRecord(line), kept({ type: 'request.start', ...start, ...common }))
    }),
  )
})

test('what is read from a line of an end record is what was written, its duration in whole microseconds', () => {
  const count = fc.nat()
  const end = fc.record({
    id: text,
    at: text,
    status: count,
    requestBytes: count,
    responseBytes: count,
    durationMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    reason: optional,
  })
  fc.assert(
    fc.property(end, (record) => {
      const line = formatEnd(record)
      assert.equal(line.indexOf('\n'), line.length - 1)
      const durationMs = Number(record.durationMs.toFixed(3))
      assert.deepEqual(parseAuditRecord(line), kept({ type: 'request.end', ...record, durationMs }))
    }),
  )
})
