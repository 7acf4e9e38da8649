import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { access, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { test, type TestContext } from 'node:test'
import { systemClock } from '#base/clock'
import { isFault } from '#base/errors'
import { openLeaves } from '#daemon/intercept'
import { createRootCertificate } from '#model/pki'
import {
  checkTrust,
  findStore,
  installRoot,
  openTrustListeners,
  readSystemRoots,
  trustEnvironment,
  uninstallRoot,
  writeTrustBundle,
} from './index.ts'

const host = 'service.example.org'

function makeRoot() {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const certificate = createRootCertificate(key, {
    serial: randomBytes(16),
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
    commonName: 'Tideway intercept CA of a test',
  })
  return { key, certificate }
}

async function openFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

test('the bundle holds the system roots and the intercept root, readable for all', async (t) => {
  const { certificate } = makeRoot()
  const path = join(await openFolder(t), 'certs', 'ca-certificates.crt')
  await writeTrustBundle(path, certificate)
  assert.equal(await readFile(path, 'utf8'), (await readSystemRoots()) + certificate.toString())
  assert.equal((await stat(path)).mode & 0o777, 0o644)
  assert.deepEqual(await readdir(join(path, '..')), ['ca-certificates.crt'])
})

test('installing puts the root into the store and rebuilds it, uninstalling undoes just that', async (t) => {
  const folder = await openFolder(t)
  const rebuilt = join(folder, 'rebuilt')
  const store = await findStore([
    { name: 'other', folder: join(folder, 'missing'), rebuild: ['false'] },
    { name: 'test', folder, rebuild: ['touch', rebuilt] },
  ])
  const { certificate } = makeRoot()
  const path = await installRoot(certificate, store)
  assert.equal(await readFile(path, 'utf8'), certificate.toString())
  await access(rebuilt)
  assert.equal(await uninstallRoot(store), true)
  await assert.rejects(access(path))
  assert.equal(await uninstallRoot(store), false)
  await assert.rejects(findStore([]), (error) => isFault(error, 'PLATFORM_UNSUPPORTED'))
})

test('runtimes are told by a variable whom to trust, and really asked', async (t) => {
  const { key, certificate } = makeRoot()
  const bundle = join(await openFolder(t), 'bundle.crt')
  await writeTrustBundle(bundle, certificate)
  const leaves = openLeaves({ clock: systemClock, random: randomBytes })
  leaves.setIssuers([{ key, chain: [certificate], hosts: [host] }])
  await using listeners = openTrustListeners({
    hosts: () => [host],
    contextFor: (name) => leaves.contextFor(name),
    clock: systemClock,
  })
  const target = await listeners.open()
  // Compiling a Go program takes longer than the other runtimes together.
  const env = {
    PATH: process.env['PATH']!.split(':')
      .filter((folder) => !/go/.test(folder))
      .join(':'),
  }
  const { signal } = new AbortController()
  const findings = await Array.fromAsync(checkTrust({ target, bundle, env, signal }))
  for (const { runtime, outcome, message } of findings) {
    assert.match(outcome, /^(with-variable|absent)$/, `${runtime} ${outcome}: ${message}`)
  }
  const told = { ...env, ...trustEnvironment(bundle) }
  const trusting = await Array.fromAsync(checkTrust({ target, bundle, env: told, signal }))
  for (const { runtime, outcome } of trusting) assert.match(outcome, /^(trusts|absent)$/, runtime)
  assert.ok(trusting.some(({ outcome }) => outcome === 'trusts'))
})

test('whoever interrupts the check waits for no runtime that hangs', { timeout: 20_000 }, async (t) => {
  const folder = await openFolder(t)
  await writeFile(join(folder, 'openssl'), '#!/bin/sh\nsleep 60 & wait\n', { mode: 0o755 })
  const stop = new AbortController()
  const env = { PATH: `${folder}:/usr/bin:/bin` }
  const check = checkTrust({ target: { host, port: 1 }, bundle: '/nowhere', env, signal: stop.signal })
  const first = check.next()
  setTimeout(() => stop.abort(new Error('enough')), 200)
  await assert.rejects(first, /enough/)
})

test('without a bound host there is nothing to check with', async () => {
  await using listeners = openTrustListeners({
    hosts: () => [],
    contextFor: () => undefined,
    clock: systemClock,
  })
  await assert.rejects(listeners.open(), (error) => isFault(error, 'RESOURCE_NOT_FOUND'))
})
