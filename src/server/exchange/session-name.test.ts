import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseWorkloadId } from '#model/identity'
import { roleSessionName } from './session-name.ts'

const segment = fc.stringMatching(/^[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,30}$/)
const workloadId = fc
  .array(segment, { minLength: 1, maxLength: 8 })
  .map((segments) => parseWorkloadId(segments.join('/')))

test('a workload is readable in its session name', () => {
  assert.equal(roleSessionName(parseWorkloadId('my-app/workload')), 'my-app=workload')
  assert.equal(roleSessionName(parseWorkloadId('a')), 'a=')
  const long = roleSessionName(parseWorkloadId(`team/${'x'.repeat(80)}/one`))
  assert.match(long, /^team=x{48},[0-9a-f]{10}$/)
})

test('every name is legal, and two workloads never share one', () => {
  fc.assert(
    fc.property(workloadId, workloadId, (a, b) => {
      assert.match(roleSessionName(a), /^[\w+=,.@-]{2,64}$/)
      assert.equal(roleSessionName(a) === roleSessionName(b), a === b)
    }),
  )
})
