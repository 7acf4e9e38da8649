import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { openBell } from '#base/lifecycle'
import { silentLog } from '#base/log'
import type { HttpClient } from './http-client.ts'
import { openProbes } from './probes.ts'

const url = 'https://id.example/oidc'
const discovery = { issuer: url, jwks_uri: `${url}/jwks` }
const key = { kid: 'k1', kty: 'RSA' }

const origin = 'https://sts.example'

/** Probes over answers that a test sets by URL; without one the connection is refused. */
function openBed(
  answers: Record<string, { status?: number; body: unknown } | undefined>,
  { random = (): number => 0 } = {},
) {
  const clock = openTestClock()
  const changes = openBell()
  const asked: string[] = []
  const http: HttpClient = {
    async request({ href }) {
      asked.push(href)
      const answer = answers[href]
      if (!answer) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
      return { status: answer.status ?? 200, headers: {}, body: Buffer.from(JSON.stringify(answer.body)) }
    },
  }
  const issuer = { url, discovery: () => discovery, jwks: () => ({ keys: [key] }) }
  const recovered: (string | undefined)[] = []
  const onRecovered = (what: string | undefined) => void recovered.push(what)
  const probes = openProbes({ issuer, http, clock, log: silentLog, random, changes, onRecovered })
  const looks = () => asked.filter((href) => href === `${origin}/`).length
  /** Resolves when so many watchers wait for their next look. */
  const napping = (count: number) => clock.untilArmed(count)
  const settled = async (test: () => boolean) => {
    const deadline = AbortSignal.timeout(5_000)
    for (let heard = changes.rings; !test(); heard = changes.rings) {
      await changes.after(heard, deadline)
      assert.ok(!deadline.aborted)
    }
  }
  return { probes, clock, recovered, looks, settled, napping }
}

const good = () => ({
  [`${url}/.well-known/openid-configuration`]: { body: discovery },
  [`${url}/jwks`]: { body: { keys: [key, { kid: 'other' }] } },
})

test('the published documents must be those of this server', async () => {
  const cases: [answers: Parameters<typeof openBed>[0], expected: string][] = [
    [good(), 'ok'],
    [{}, 'ConnectionRefused'],
    [{ ...good(), [`${url}/jwks`]: { body: { keys: [{ kid: 'k0' }] } } }, 'JwksDiffers'],
    [{ ...good(), [`${url}/jwks`]: { body: null } }, 'JwksDiffers'],
    [{ ...good(), [`${url}/jwks`]: { status: 404, body: '' } }, 'EndpointUnreachable'],
    [
      { ...good(), [`${url}/.well-known/openid-configuration`]: { body: { issuer: 'https://other' } } },
      'DiscoveryDiffers',
    ],
  ]
  for (const [answers, expected] of cases) {
    const { probes, settled } = openBed(answers)
    await using _ = probes
    assert.equal(probes.discovery().state, 'pending')
    probes.watch(new Set(['https://sts.example']))
    await settled(() => probes.discovery().state !== 'pending')
    const probe = probes.discovery()
    assert.equal(probe.state === 'failed' ? probe.reason : probe.state, expected)
  }
})

test('any answer of an endpoint will do; what fails is looked at again soon, what holds rarely', async () => {
  const answers: Parameters<typeof openBed>[0] = { ...good() }
  const { probes, clock, recovered, looks, settled, napping } = openBed(answers)
  await using _ = probes
  probes.watch(new Set([origin]))
  await settled(() => probes.endpoint(origin).state === 'failed')
  answers[`${origin}/`] = { status: 400, body: 'error' }
  await napping(2)
  await clock.advance(1_000)
  await settled(() => probes.endpoint(origin).state === 'ok')
  assert.equal(looks(), 2)
  assert.deepEqual(recovered, [origin])
  await napping(2)
  await clock.advance(55_000)
  assert.equal(looks(), 2)
  await clock.advance(5_000)
  assert.equal(looks(), 3)
  probes.watch(new Set())
  assert.equal(probes.endpoint(origin).state, 'pending')
})

test('however long it has failed, a recovery is seen within five seconds', async () => {
  const answers: Parameters<typeof openBed>[0] = { ...good() }
  const { probes, clock, settled, napping } = openBed(answers, { random: () => 0.999 })
  await using _ = probes
  probes.watch(new Set([origin]))
  await settled(() => probes.endpoint(origin).state === 'failed')
  for (let second = 0; second < 60; second++) await clock.advance(1_000)
  answers[`${origin}/`] = { body: '' }
  await napping(2)
  await clock.advance(5_000)
  await settled(() => probes.endpoint(origin).state === 'ok')
})

test('who met with difficulties has it looked at within a second, and once however many they are', async () => {
  const answers: Parameters<typeof openBed>[0] = { ...good(), [`${origin}/`]: { body: '' } }
  const { probes, clock, looks, settled, napping } = openBed(answers)
  await using _ = probes
  probes.watch(new Set([origin]))
  await settled(() => probes.endpoint(origin).state === 'ok' && probes.discovery().state === 'ok')
  delete answers[`${origin}/`]
  await napping(2)
  await clock.advance(1_000)
  await napping(2)
  for (let times = 0; times < 100; times++) probes.lookAgain(origin)
  await settled(() => probes.endpoint(origin).state === 'failed')
  assert.equal(looks(), 2)
})
