import assert from 'node:assert/strict'
import { copyFileSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '#base/log'
import { openProcessReader } from '#daemon/attestation'
import { parseSpiffeId } from '#model/identity'
import { applyScopeUpdate, emptyScope, type Scope } from '#model/scope'
import { openJudge } from './judge.ts'

function scopeWith(path: string): Scope {
  const none = { identities: [], services: [], bindings: [], credentials: [] }
  const identity = {
    name: 'by-path',
    spiffeId: parseSpiffeId('spiffe://example.org/by-path'),
    selectors: [{ 'process:binary:path': [path] }],
    captureAll: false,
    intercept: true,
  }
  return applyScopeUpdate(emptyScope, {
    revision: 1,
    reset: true,
    upsert: { ...none, identities: [identity] },
    remove: none,
  })
}

/** What is concluded about this process, whose executable is the runtime, from a selector of `path`. */
async function verdictFor(path: string): Promise<string> {
  await using attestor = openProcessReader()
  const judge = openJudge({ attestor, capture: undefined, log: silentLog })
  judge.setPolicy(scopeWith(path), 1, new Map())
  const startTicks = await attestor.startOf(process.pid)
  return judge.explain((await attestor.attest(process.pid, startTicks!))!).verdict
}

test('an executable is known by its path and by a link to it, not by that of a copy', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-judge-'))
  try {
    const executable = realpathSync(process.execPath)
    const link = join(folder, 'link')
    symlinkSync(executable, link)
    const copy = join(folder, 'copy')
    copyFileSync('/bin/true', copy)
    assert.equal(await verdictFor(executable), 'identified')
    assert.equal(await verdictFor(link), 'identified')
    assert.equal(await verdictFor(copy), 'stranger')
    assert.equal(await verdictFor(join(folder, 'absent')), 'stranger')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a policy that changes during a look decides, and nobody is refused for it', async () => {
  await using attestor = openProcessReader()
  const startTicks = (await attestor.startOf(process.pid))!
  const { pin } = (await attestor.attest(process.pid, startTicks))!
  let looks = 0
  const changing = {
    ...attestor,
    async attest(pid: number, ticks: bigint) {
      looks += 1
      if (looks === 1) judge.setPolicy(scopeWith(realpathSync(process.execPath)), 2, new Map())
      return attestor.attest(pid, ticks)
    },
  }
  const judge = openJudge({ attestor: changing, capture: undefined, log: silentLog })
  judge.setPolicy(scopeWith('/bin/true'), 1, new Map())
  const judgement = await judge.judge({ process: pin, level: 'user', port: 443, fresh: true })
  assert.equal(judgement.generation, 2)
  assert.equal(judgement.identity, 'by-path')
  assert.equal(looks, 2)
})

test('an attestor that does not answer keeps no policy from taking effect', async () => {
  await using attestor = openProcessReader()
  const hanging = { ...attestor, collect: () => new Promise<never>(() => {}) }
  const judge = openJudge({ attestor: hanging, capture: undefined, log: silentLog })
  judge.setPolicy(scopeWith('/bin/true'), 1, new Map())
  judge.setPolicy(emptyScope, 2, new Map())
  const startTicks = (await attestor.startOf(process.pid))!
  const { pin } = (await attestor.attest(process.pid, startTicks))!
  const judgement = await judge.judge({ process: pin, level: 'user', port: 443, fresh: true })
  assert.equal(judgement.generation, 2)
})
