import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { parseWorkloadId } from '#model/identity'
import { daemonNameOf } from './daemons.ts'

const subdomain = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const segment = fc.stringMatching(/^[a-zA-Z0-9._-]{1,80}$/).filter((text) => text !== '.' && text !== '..')
const workloadIds = fc
  .array(segment, { minLength: 1, maxLength: 4 })
  .map((path) => parseWorkloadId(path.join('/')))

describe('the name of a daemon', () => {
  it('is that of the plain ID', () => {
    assert.equal(daemonNameOf(parseWorkloadId('riptides/daemon/web-1')), 'web-1')
    assert.match(daemonNameOf(parseWorkloadId('riptides/daemon/Web_1')), /^web-1-[0-9a-f]{12}$/)
    assert.match(daemonNameOf(parseWorkloadId('other/web-1')), /^web-1-[0-9a-f]{12}$/)
  })

  it('is a legal object name, the same each time, and another for another ID', () => {
    fc.assert(
      fc.property(workloadIds, workloadIds, (one, other) => {
        assert.match(daemonNameOf(one), subdomain)
        assert.equal(daemonNameOf(one) === daemonNameOf(other), one === other)
      }),
    )
  })
})
