import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock, systemClock } from '#base/clock'
import { silentLog, type Log } from '#base/log'
import { openAccessControl } from '#server/access'
import { openTokenIssuer } from '#server/issuer'
import { custodyOver, openCustody } from '#server/keys'
import { openElection, type Term } from '#server/leadership'
import { openMemoryStore, openResourceCache, openResources } from '#server/store'

const sealer = {
  seal: (_: string, bytes: Uint8Array) => bytes,
  unseal: (_: string, bytes: Uint8Array) => bytes,
}

/** A store, and the term of a server that led it until another one took the lead. */
async function openDeposed(context: { after(work: () => Promise<void>): void }) {
  const store = openMemoryStore()
  const leadership = await openElection({
    store,
    expectAble: async () => {},
    clock: systemClock,
    log: silentLog,
  })
  const stop = new AbortController()
  const began = Promise.withResolvers<Term>()
  const running = leadership.run({ signal: stop.signal, duty: async (term) => began.resolve(term) })
  context.after(async () => {
    stop.abort()
    await running
    await leadership[Symbol.asyncDispose]()
  })
  const term = await began.promise
  await store.transaction([], [{ type: 'put', key: '/run/leader', value: Buffer.from('another') }])
  return { store, term }
}

test('a key that a deposed leader would publish on schedule is not published, nor kept', async (context) => {
  const { store, term } = await openDeposed(context)
  const sealingKey = createSecretKey(randomBytes(32))
  const custody = await openCustody(store, sealingKey)
  const clock = openTestClock()
  const issuer = await openTokenIssuer({
    store,
    custody,
    clock,
    log: silentLog,
    settings: { url: 'https://issuer.example', rotateEverySeconds: 7200, publishAheadSeconds: 3600 },
  })
  const before = [await custody.names('issuer/'), issuer.keys().map(({ kid }) => kid)]
  await clock.advance(3_600_000)
  const { signal } = new AbortController()
  const fenced = { store: term.store, custody: custodyOver(term.store, sealingKey) }
  await assert.rejects(issuer.keepSchedule({ signal, ...fenced }), {
    code: 'STORE_UNAVAILABLE',
    message: /another server leads/,
  })
  const next = await openTokenIssuer({
    store,
    custody,
    clock,
    log: silentLog,
    settings: { url: issuer.url },
  })
  assert.deepEqual([await custody.names('issuer/'), next.keys().map(({ kid }) => kid)], before)
})

test('a state that a deposed leader found is not written', async (context) => {
  const { store, term } = await openDeposed(context)
  const common = { clock: openTestClock(), random: randomBytes, sealer }
  const resources = openResources(store, common)
  await using cache = await openResourceCache(resources)
  const refused = Promise.withResolvers<void>()
  const log: Log = {
    ...silentLog,
    warn: (_, fields) => {
      const { message } = fields!['error'] as Error
      if (message.includes('another server leads')) refused.resolve()
      else refused.reject(new Error(message))
    },
  }
  const accountKeys = { active: () => Promise.reject(new TypeError('not asked')), publicKey: () => undefined }
  const audit = { change: async () => {} }
  using control = openAccessControl({
    url: () => '',
    store,
    accountKeys,
    resources,
    cache,
    audit,
    clock: common.clock,
    log,
  })
  await resources.create<'OIDCClient'>({
    apiVersion: 'core.riptides.io/v1alpha1',
    kind: 'OIDCClient',
    metadata: { name: 'cli', namespace: 'riptides-system' },
    spec: {
      identityProvider: 'none',
      clientID: 'cli',
      redirectUrls: ['http://127.0.0.1/callback'],
      native: {},
    },
  })
  const stop = new AbortController()
  const running = control.run({ signal: stop.signal, resources: openResources(term.store, common) })
  await refused.promise
  const { status } = (await resources.get('OIDCClient', 'riptides-system', 'cli'))!
  assert.equal(status?.observedGeneration, 0)
  stop.abort()
  await running
})
