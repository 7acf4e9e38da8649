import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { heartbeatAgeMs, heartbeatLimitMs, isAlive, writeHeartbeat } from './heartbeat.ts'
import { layout } from './layout.ts'

describe('the heartbeat', () => {
  it('is alive when written, and not running when cleared or never written', () => {
    const config = Buffer.alloc(layout.config.size)
    assert.equal(isAlive(config), false)
    assert.equal(heartbeatAgeMs(config), undefined)
    writeHeartbeat(config, true)
    assert.ok(isAlive(config))
    writeHeartbeat(config, false)
    assert.equal(heartbeatAgeMs(config), undefined)
  })

  it('is dead when older than the limit', () => {
    const config = Buffer.alloc(layout.config.size)
    const old = process.hrtime.bigint() - BigInt(heartbeatLimitMs + 10) * 1_000_000n
    config.writeBigUInt64LE(old, layout.config.offsets.heartbeat_ns)
    assert.equal(isAlive(config), false)
    assert.ok(heartbeatAgeMs(config)! > heartbeatLimitMs)
  })
})
