import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '#base/errors'
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

test('a kernel that refuses a policy keeps nothing in force, and nobody from serving', async () => {
  const withdrawn: string[] = []
  let room = true
  const keeper = openScopeKeeper({
    judge: { setPolicy() {} },
    pool: { apply: async ({ remove }) => void withdrawn.push(...remove.bindings) },
    kernel: {
      look: async () => {},
      update() {
        if (!room) throw new Fault('SYSCALL_FAILED', 'no room')
        return { changed: true }
      },
      numbers: () => new Map(),
    },
    onScope() {},
    log: silentLog,
  })
  await keeper.apply(scopeWith(1, { 'process:uid': ['1'] }, { host: 'example.org' }))
  room = false
  const none = { identities: [], services: [], bindings: [], credentials: [] }
  const remove = { ...none, bindings: ['app-cloud'] }
  await assert.rejects(keeper.apply({ revision: 2, reset: false, upsert: none, remove }), /no room/)
  assert.deepEqual(withdrawn, ['app-cloud'])
  await keeper.refreshKernel()
})
