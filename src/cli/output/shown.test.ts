import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '#base/errors'
import { describeObject, formatTable, renderFault } from './index.ts'

const hostile = 'a\u001b[2J\u009b8m\r\u202e\u2028é\u{1f30a}'
const harmless = 'a\\u{1b}[2J\\u{9b}8m\\u{d}\\u{202e}\\u{2028}é\u{1f30a}'

test('what others wrote moves nothing in a terminal', () => {
  assert.equal(formatTable(['NAME'], [[`${hostile}\nb`]]), `NAME\n${harmless}\\u{a}b`)
  const metadata = { name: hostile, annotations: { text: `${hostile}\nnext\tword` } }
  const described = describeObject({ apiVersion: 'v1', kind: 'Secret', metadata })
  assert.ok(described.includes(`NAME:       ${harmless}\n`))
  assert.ok(described.includes(`${harmless}\nnext\tword`))
  const fault = new Fault('API_FORBIDDEN', `${hostile}\nb`, { hint: hostile })
  assert.equal(renderFault(fault), `error: ${harmless}\nb\nhint: ${harmless}`)
})
