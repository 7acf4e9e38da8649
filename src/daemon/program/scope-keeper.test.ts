import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '#base/log'
import { scopeWith } from './fixture.ts'
import { openScopeKeeper } from './scope-keeper.ts'

test('workers judge anew whenever the kernel has forgotten its verdicts, and only then', async () => {
  const generations: Record<'judge' | 'workers', number[]> = { judge: [], workers: [] }
  let changed = false
  const keeper = openScopeKeeper({
    judge: { setPolicy: (_, generation) => void generations.judge.push(generation) },
    pool: { apply: async (_, __, generation) => void generations.workers.push(generation) },
    kernel: { look: async () => {}, update: () => ({ changed }), numbers: () => new Map() },
    onScope() {},
    log: silentLog,
  })
  await keeper.apply(scopeWith(1, { 'process:uid': ['1'] }, { host: 'example.org' }))
  await keeper.refreshKernel()
  assert.deepEqual(generations, { judge: [1], workers: [1] })
  changed = true
  await keeper.refreshKernel()
  assert.deepEqual(generations, { judge: [1, 2], workers: [1, 2] })
})
