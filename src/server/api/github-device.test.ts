import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { initiateDeviceAuthorization, pollDeviceAuthorizationGrant } from 'openid-client'
import { ada, cookieOf, issuerPath, locationOf, openBed, openClient, whoIs } from './test-github.ts'

const contentType = 'application/x-www-form-urlencoded'
const grant = 'urn:ietf:params:oauth:grant-type:device_code'

type Bed = Awaited<ReturnType<typeof openBed>>

async function post(
  bed: Bed,
  path: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
) {
  const body = new URLSearchParams(form).toString()
  return bed.server.ask('POST', issuerPath + path, { authorization: null, contentType, body, headers })
}

interface Device {
  readonly device_code: string
  readonly user_code: string
  readonly verification_uri_complete: string
}

const begin = async (bed: Bed) =>
  JSON.parse((await post(bed, '/device_authorization', { client_id: 'cli' })).body) as Device

const poll = async (bed: Bed, device_code: string, change: Record<string, string> = {}) => {
  const answer = await post(bed, '/token', { grant_type: grant, client_id: 'cli', device_code, ...change })
  return JSON.parse(answer.body) as { error?: string; id_token?: string }
}

/** Opens the form, and what it was given to send back. */
async function openForm(bed: Bed, query = '') {
  const form = await bed.get(`${issuerPath}/device${query}`)
  const value = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(form.body)![1]!
  return { cookie: cookieOf(form), check: value('check'), shown: value('user_code') }
}

/** What a person does in a browser: opens the page, goes on, and logs in at GitHub. */
async function approve(bed: Bed, user_code: string) {
  const { cookie, check } = await openForm(bed)
  const sent = await post(bed, '/device', { check, user_code }, { cookie })
  assert.equal(sent.status, 302, sent.body)
  return bed.get(bed.provider.agree(locationOf(sent)), { cookie: cookieOf(sent) })
}

describe('logging in at GitHub on another device', () => {
  test('works with a client that knows OpenID Connect and nothing of this server', async () => {
    await using bed = await openBed()
    const configuration = await openClient(bed.server)
    const device = await initiateDeviceAuthorization(configuration, { scope: 'openid' })
    assert.match(device.user_code, /^[A-Z]{4}-[A-Z]{4}-[A-Z]{4}$/)
    const { search } = new URL(device.verification_uri_complete!)
    assert.equal((await openForm(bed, search)).shown, device.user_code)
    const polling = pollDeviceAuthorizationGrant(configuration, device)
    const done = await approve(bed, device.user_code)
    assert.match(done.body, /^You are ada\. The other device goes on/)
    assert.deepEqual(await whoIs(bed.server, (await polling).id_token!), {
      username: 'hub:ada',
      uid: '42',
      groups: ['hub:acme', 'hub:acme:platform', 'hub:acme:web', 'system:authenticated'],
    })
  })

  test('a program is told to wait, is given its token once, and none after ten minutes', async () => {
    await using bed = await openBed()
    const { device_code, user_code } = await begin(bed)
    assert.deepEqual(await poll(bed, device_code), { error: 'authorization_pending' })
    await approve(bed, user_code.toLowerCase().replaceAll('-', ' '))
    for (const change of [{ client_id: 'other' }, { device_code: `${device_code}x` }] as Record<
      string,
      string
    >[])
      assert.ok((await poll(bed, device_code, change)).error)
    assert.ok((await poll(bed, device_code)).id_token)
    await bed.server.clock.advance(2000)
    assert.deepEqual(await poll(bed, device_code), { error: 'authorization_pending' })
    const late = await begin(bed)
    await approve(bed, late.user_code)
    await bed.server.clock.advance(601_000)
    assert.deepEqual(await poll(bed, late.device_code), { error: 'expired_token' })
  })

  test('a program that asks too fast is told to slow down, and is given its token all the same', async () => {
    await using bed = await openBed()
    const { device_code, user_code } = await begin(bed)
    const waits = async (ms: number) => {
      await bed.server.clock.advance(ms)
      return (await poll(bed, device_code)).error
    }
    assert.equal(await waits(0), 'authorization_pending')
    assert.equal(await waits(2000), 'authorization_pending')
    assert.equal(await waits(1000), 'slow_down')
    assert.equal(await waits(2000), 'slow_down')
    assert.equal(await waits(12_000), 'authorization_pending')
    await approve(bed, user_code)
    assert.ok((await poll(bed, device_code)).id_token)
  })

  test('a code is approved once, and what was approved ends when the provider changes', async () => {
    await using bed = await openBed()
    const { device_code, user_code } = await begin(bed)
    assert.equal((await approve(bed, user_code)).status, 200)
    assert.equal((await approve(bed, user_code)).status, 400)
    const { apiVersion, kind, spec } = await bed.server.client.get('IdentityProvider', 'hub')
    const changed = { ...spec, name: 'Another' }
    await bed.server.client.update({ apiVersion, kind, metadata: { name: 'hub' }, spec: changed })
    while ((await poll(bed, device_code)).error !== 'invalid_grant');
  })

  test('whoever is not let in gets the other device nothing', async () => {
    await using bed = await openBed()
    const { device_code, user_code } = await begin(bed)
    bed.provider.hub.person = { ...ada, orgs: {} }
    const refused = await approve(bed, user_code)
    assert.equal(refused.status, 403)
    assert.deepEqual(await poll(bed, device_code), { error: 'authorization_pending' })
  })

  test('another site cannot approve in the name of whoever looks at it', async () => {
    await using bed = await openBed()
    const { user_code } = await begin(bed)
    const [own, others] = [await openForm(bed), await openForm(bed)]
    for (const [check, cookie] of [
      [own.check, ''],
      ['', own.cookie],
      [others.check, own.cookie],
      ['', '__Host-tideway-device='],
    ] as const) {
      const refused = await post(bed, '/device', { check, user_code }, { cookie })
      assert.deepEqual([refused.status, refused.headers['location']], [400, undefined])
    }
  })

  test('the page shows no text of a stranger, and a code that is none leads nowhere', async () => {
    await using bed = await openBed()
    for (const code of ['"><script>', 'ABCD', 'AAAA-EEEE-IIII']) {
      const { shown, cookie, check } = await openForm(bed, `?user_code=${encodeURIComponent(code)}`)
      assert.equal(shown, '')
      assert.equal((await post(bed, '/device', { check, user_code: code }, { cookie })).status, 400)
    }
    const unknown = await post(bed, '/device_authorization', { client_id: 'other' })
    assert.deepEqual([unknown.status, JSON.parse(unknown.body)], [400, { error: 'invalid_client' }])
  })

  test('no paper of such a login is a token', async () => {
    await using bed = await openBed()
    const { device_code } = await begin(bed)
    assert.equal(await whoIs(bed.server, device_code), undefined)
  })
})
