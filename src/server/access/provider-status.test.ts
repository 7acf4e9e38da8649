import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { openTestClock } from '#base/clock'
import { Fault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import type { CommonStatus, IdentityProvider, OIDCClient } from '#model/resource'
import type { ResourceCache, Resources } from '#server/store'
import { openProviderStatus } from './provider-status.ts'

const provider = {
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'IdentityProvider',
  metadata: { name: 'hub', namespace: 'riptides-system', uid: 'u', generation: 1 },
  spec: {
    github: {
      clientID: 'id',
      clientSecretRef: { name: 'github', key: 'secret' },
      requiredOrgs: [{ name: 'acme' }],
    },
  },
} as unknown as IdentityProvider

const logins = {
  placesOf: (name: string) => ({ issuer: `https://x/${name}`, callback: `https://x/${name}/callback` }),
}

test('a store that is away for a moment neither ends the looks at providers nor makes them late', async () => {
  const clock = openTestClock()
  const cache = {
    list: (kind: string) => (kind === 'IdentityProvider' ? [provider] : []),
    get: () => undefined,
    onChange: () => () => {},
  } as unknown as ResourceCache
  let failures = 2
  function expectStore(): void {
    if (failures-- > 0) throw new Fault('STORE_UNAVAILABLE', 'the connection was lost')
  }
  const written = Promise.withResolvers<CommonStatus>()
  const resources = {
    async secretData() {
      expectStore()
      return new Map([['secret', Secret.of('s')]])
    },
    async updateStatus(_: string, __: string, ___: string, next: (object: unknown) => CommonStatus) {
      expectStore()
      written.resolve(next(provider))
    },
  } as unknown as Resources
  const stop = new AbortController()
  const running = openProviderStatus({
    idTokens: { providers: () => [], onUnreachable: () => () => {} } as never,
    logins,
    cache,
    resources,
    clock,
    log: silentLog,
  }).run(stop)
  for (let look = 0; look < 2; look++) {
    await clock.untilArmed()
    await clock.advance(5_000)
  }
  assert.equal((await written.promise).state, 'AVAILABLE')
  stop.abort()
  await running
})

test('what was found of a provider is not said of what it has become since', async () => {
  const status = { state: 'PENDING', message: 'not looked at yet' }
  const changed = { ...provider, metadata: { ...provider.metadata, generation: 2 }, status }
  const written = Promise.withResolvers<CommonStatus>()
  const stop = new AbortController()
  const running = openProviderStatus({
    idTokens: { providers: () => [], onUnreachable: () => () => {} } as never,
    logins,
    cache: {
      list: (kind: string) => (kind === 'IdentityProvider' ? [provider] : []),
      get: () => undefined,
      onChange: () => () => {},
    } as unknown as ResourceCache,
    resources: {
      secretData: async () => new Map([['secret', Secret.of('s')]]),
      async updateStatus(_: string, __: string, ___: string, next: (object: unknown) => CommonStatus) {
        written.resolve(next(changed))
      },
    } as unknown as Resources,
    clock: openTestClock(),
    log: silentLog,
  }).run(stop)
  assert.equal(await written.promise, status)
  stop.abort()
  await running
})

interface StatesOptions {
  probe: () => Promise<void>
  secret?: string
  onUnreachable?: (then: () => void) => () => void
  onChange?: ResourceCache['onChange']
}

/** States as they are written of these objects, by name, while `probe` and `secret` are what they are. */
function statesOf(
  context: TestContext,
  objects: readonly (IdentityProvider | OIDCClient)[],
  { probe, secret, onUnreachable = () => () => {}, onChange = () => () => {} }: StatesOptions,
) {
  const states = new Map<string, CommonStatus>()
  const written = openBell()
  const stop = new AbortController()
  const running = openProviderStatus({
    idTokens: {
      providers: () => objects.map((object) => ({ object, trust: {}, verifier: { probe } })),
      onUnreachable,
    } as never,
    logins,
    cache: {
      list: (kind: string) => objects.filter((object) => object.kind === kind),
      get: (_: string, __: string, name: string) => objects.find(({ metadata }) => metadata.name === name),
      onChange,
    } as unknown as ResourceCache,
    resources: {
      secretData: async () => (secret === undefined ? undefined : new Map([['secret', Secret.of(secret)]])),
      async updateStatus(kind: string, __: string, name: string, next: (object: unknown) => CommonStatus) {
        states.set(
          name,
          next(objects.find((object) => object.metadata.name === name && object.kind === kind)),
        )
        written.ring()
      },
    } as unknown as Resources,
    clock: openTestClock(),
    log: silentLog,
  }).run(stop)
  context.after(() => {
    stop.abort()
    return running
  })
  /** Once there is one, and it is as wanted. */
  return async (name: string, wanted?: string) => {
    const isThere = () => states.has(name) && (wanted ?? states.get(name)!.state) === states.get(name)!.state
    for (let heard = written.rings; !isThere(); heard = written.rings)
      await written.after(heard, context.signal)
    return states.get(name)!
  }
}

const named = <T extends { metadata: object }>(object: T, name: string, rest: object): T => ({
  ...object,
  metadata: { ...object.metadata, name, uid: name },
  ...rest,
})
const client = named(provider, 'people', {
  kind: 'OIDCClient',
  spec: { identityProvider: 'hub', clientID: 'id' },
}) as unknown as OIDCClient

test('a provider that does not answer keeps the states of others from nobody', async (context) => {
  const oidc = { issuer: 'https://slow.example', audiences: ['id'] }
  const slow = named(provider, 'slow', { spec: { oidc } })
  const silence = Promise.withResolvers<void>()
  const state = statesOf(context, [slow, provider, client], { probe: () => silence.promise, secret: 's' })
  assert.equal((await state('hub')).state, 'AVAILABLE')
  assert.equal((await state('people')).state, 'AVAILABLE')
  silence.resolve()
  assert.equal((await state('slow')).state, 'AVAILABLE')
})

test('a provider is looked at once a token has met with it away, and not a minute later', async (context) => {
  const oidc = { issuer: 'https://gone.example', audiences: ['id'] }
  let isThere = true
  const probe = async () => {
    if (!isThere) throw new Error('connection refused')
  }
  let meet = () => {}
  const onUnreachable = (then: () => void) => {
    meet = then
    return () => {}
  }
  const gone = named(provider, 'gone', { spec: { oidc } })
  const state = statesOf(context, [gone], { probe, onUnreachable })
  await state('gone', 'AVAILABLE')
  isThere = false
  meet()
  await state('gone', 'FAILED')
})

test('nobody is said to log in at a provider whose secret is not there', async (context) => {
  const state = statesOf(context, [provider, client], { probe: async () => {} })
  assert.equal((await state('hub')).state, 'FAILED')
  const { state: said, message } = await state('people')
  assert.equal(said, 'FAILED')
  assert.match(message!, /^there is no IdentityProvider hub that is acted on/)
})

test('nobody is said to log in at a provider that is being deleted', async (context) => {
  const metadata = { ...provider.metadata, finalizers: ['x/y'], deletionTimestamp: '2026-01-01T00:00:00Z' }
  const going = { ...provider, metadata } as unknown as IdentityProvider
  const state = statesOf(context, [going, client], { probe: async () => {}, secret: 's' })
  assert.equal((await state('people')).state, 'FAILED')
})

test('a provider that was deleted and made again while nobody watched is looked at', async (context) => {
  let tell: Parameters<ResourceCache['onChange']>[0] = () => {}
  const objects = [provider]
  const state = statesOf(context, objects, {
    probe: () => Promise.reject(new Error('connection refused')),
    secret: 's',
    onChange(listener) {
      tell = listener
      return () => {}
    },
  })
  assert.equal((await state('hub')).state, 'AVAILABLE')
  const oidc = { issuer: 'https://gone.example', audiences: ['id'] }
  const again = { ...provider, metadata: { ...provider.metadata, uid: 'again' }, spec: { oidc } }
  objects[0] = again as IdentityProvider
  tell([{ type: 'MODIFIED', object: objects[0], previous: provider }])
  await state('hub', 'FAILED')
})

test('a provider whose certificate is signed by a CA of its own is said to need that CA', async (context) => {
  const oidc = { issuer: 'https://inside.example', audiences: ['id'] }
  const cause = Object.assign(
    new Error('self-signed certificate; try running Node.js with --use-system-ca'),
    {
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    },
  )
  const probe = () => Promise.reject(new TypeError('fetch failed', { cause }))
  const state = statesOf(context, [named(provider, 'inside', { spec: { oidc } })], { probe })
  const { state: said, message } = await state('inside')
  assert.equal(said, 'FAILED')
  assert.match(message!, /signed by nobody whom this server trusts: give the CA as spec\.oidc\.caBundle/)
})
