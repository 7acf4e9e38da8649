import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Daemon } from '#model/resource'
import { openAbsences, type Presence } from './absences.ts'
import { makeObject } from './fixture.ts'

function openSetting() {
  const clock = openTestClock()
  const presence = new Map<string, Presence>()
  const settled: string[] = []
  const daemons = new Map<string, Daemon>()
  const put = (daemon: Daemon) => {
    daemons.set(daemon.metadata.name, daemon)
    return daemon.metadata.name
  }
  const absences = openAbsences({
    daemonNamed: (name) => daemons.get(name),
    presenceOf: (name) => presence.get(name) ?? 'absent',
    onSettled: (name) => settled.push(name),
    afterMs: 5_000,
    clock,
  })
  return {
    clock,
    presence,
    settled,
    begin: (...daemons: Daemon[]) => absences.begin(daemons),
    isAwaited: (daemon: Daemon) => absences.isAwaited(put(daemon)),
    isMissed: (daemon: Daemon) => absences.isMissed(put(daemon)),
  }
}

const daemon = (name: string, state: 'OK' | 'FAILED' | 'DISCONNECTED' | 'PENDING' = 'OK'): Daemon => ({
  ...makeObject('Daemon', name, { workloadID: `riptides/daemon/${name}`, claimerType: 'JoinToken' }),
  status: { state },
})

test('a daemon that was connected and is nowhere is awaited, and then missed', async () => {
  const { clock, settled, isAwaited, isMissed } = openSetting()
  assert.ok(isAwaited(daemon('one')) && isAwaited(daemon('ill', 'FAILED')))
  await clock.advance(4_999)
  assert.ok(isAwaited(daemon('one')) && !isMissed(daemon('one')))
  await clock.advance(1)
  assert.deepEqual(settled, ['one', 'ill'])
  assert.ok(!isAwaited(daemon('one')) && isMissed(daemon('one')))
  await clock.advance(60_000)
  assert.deepEqual(settled, ['one', 'ill'], 'it is told once')
})

test('nobody waits for a daemon whose own server has seen it go, or that never came', async () => {
  const { clock, settled, isAwaited, isMissed } = openSetting()
  for (const state of ['DISCONNECTED', 'PENDING'] as const) {
    assert.ok(!isAwaited(daemon('one', state)) && !isMissed(daemon('one', state)))
  }
  assert.ok(isAwaited(daemon('one')))
  assert.ok(!isAwaited(daemon('one', 'DISCONNECTED')))
  await clock.advance(5_000)
  assert.deepEqual(settled, [])
})

test('as long as others come back one after the other the rest is awaited, for a minute at most', async () => {
  const { clock, presence, settled, isAwaited } = openSetting()
  const fleet = Array.from({ length: 40 }, (_, index) => daemon(`${index}`))
  const last = fleet.at(-1)!
  for (const each of fleet) assert.ok(isAwaited(each))
  for (let seconds = 4; seconds < 60; seconds += 4) {
    await clock.advance(4_000)
    presence.set(`${seconds / 4}`, 'here')
    for (const each of fleet) isAwaited(each)
    assert.ok(isAwaited(last), `after ${seconds} s`)
    assert.equal(settled.length, presence.size)
  }
  await clock.advance(4_000)
  assert.ok(!isAwaited(last))
  assert.equal(settled.length, 40)
})

test('who comes back is awaited until it has in effect what it was sent, and no longer than others', async () => {
  const { clock, presence, settled, begin, isAwaited, isMissed } = openSetting()
  for (const name of ['quick', 'stuck', 'new']) presence.set(name, 'arriving')
  begin(daemon('quick'), daemon('stuck'), daemon('new', 'PENDING'))
  assert.ok(isAwaited(daemon('quick')) && isAwaited(daemon('stuck')))
  assert.ok(!isAwaited(daemon('new')), 'of whom nothing was said that could stand')
  presence.set('quick', 'here')
  assert.ok(!isAwaited(daemon('quick')))
  await clock.advance(5_000)
  assert.deepEqual(settled, ['quick', 'stuck'])
  assert.ok(!isAwaited(daemon('stuck')) && !isMissed(daemon('stuck')), 'it is judged by its stream')
})
