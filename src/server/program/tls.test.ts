import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openTestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { silentLog } from '#base/log'
import { certificatesToPem, createSelfSignedCertificate } from '#model/pki'
import { openFileIdentity } from './tls.ts'

function makePair(): { key: string; cert: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const cert = createSelfSignedCertificate(privateKey, {
    commonName: 'server',
    serial: randomBytes(16),
    notBefore: Date.now() - 1000,
    notAfter: Date.now() + 60_000,
  })
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }), cert: certificatesToPem([cert]) }
}

async function openFiles(context: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-tls-'))
  context.after(() => rm(folder, { recursive: true }))
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const clock = openTestClock()
  return {
    clock,
    write: (cert: string, key: string) => Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]),
    open: () => openFileIdentity({ certFile, keyFile, clock, log: silentLog }),
  }
}

test('a renewed certificate is taken over, and a pair that does not fit is not', async (context) => {
  const { clock, write, open } = await openFiles(context)
  const [first, second] = [makePair(), makePair()]
  await write(first.cert, first.key)
  const identity = await open()
  assert.deepEqual(identity.tls, first)
  const renewed: object[] = []
  const stop = new AbortController()
  const { promise, resolve } = Promise.withResolvers<void>()
  const running = identity.run({
    signal: stop.signal,
    onRenewed(tls) {
      renewed.push(tls)
      resolve()
    },
  })
  await clock.untilArmed()
  await write(second.cert, first.key)
  await clock.advance(10_000)
  await clock.untilArmed()
  assert.deepEqual(renewed, [])
  await write(second.cert, second.key)
  await clock.advance(10_000)
  await promise
  assert.deepEqual(renewed, [second])
  stop.abort()
  await running
})

test('files that are missing, damaged or not of each other are refused at start', async (context) => {
  const { write, open } = await openFiles(context)
  const refused = (error: unknown) => isFault(error, 'SETTING_INVALID')
  await assert.rejects(open(), refused)
  const [one, other] = [makePair(), makePair()]
  await write(one.cert, other.key)
  await assert.rejects(open(), refused)
  await write('x', one.key)
  await assert.rejects(open(), refused)
})
