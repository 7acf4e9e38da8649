import type { FastifyReply } from 'fastify'
import type { Clock } from '#base/clock'
import { deviceCookie, flowSeconds, isSame, keep, page, random, type Fields } from './browser.ts'
import { hashUserCode, newUserCode, readUserCode, type DeviceLogins } from './device-logins.ts'
import { devicePage } from './device-page.ts'
import type { Identity } from './github.ts'
import { clientOf, versionOf, type Brokered, type Redeemed } from './ports.ts'
import { openPollingPace } from './polling-pace.ts'
import type { SignedClaims } from './signed-claims.ts'

export const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code'

const pollSeconds = 2

/** The steps of a login on one device for a program on another (RFC 8628), but for those at the provider. */
export function openDeviceFlow({
  claims,
  devices,
  clock,
}: {
  claims: SignedClaims
  devices: DeviceLogins
  clock: Clock
}) {
  const pace = openPollingPace({ clock, seconds: pollSeconds })

  /** Begins a login for a program that has no browser (RFC 8628 section 3.1). */
  async function begin(provider: Brokered, form: Fields, reply: FastifyReply) {
    const { issuer, object } = provider
    const clientID = form['client_id'] ?? ''
    if (!clientOf(provider, clientID)) return reply.code(400).send({ error: 'invalid_client' })
    const code = newUserCode()
    const login = { iss: issuer, version: versionOf(object), clientID, user: hashUserCode(code) }
    return {
      device_code: await claims.sign('device', login, flowSeconds),
      user_code: code,
      verification_uri: `${issuer}/device`,
      verification_uri_complete: `${issuer}/device?user_code=${code}`,
      expires_in: flowSeconds,
      interval: pollSeconds,
    }
  }

  /** Asks a person for the code that the other device shows, and whether it was he who began there. */
  function askForCode(query: Fields, reply: FastifyReply) {
    const check = random()
    const code = readUserCode(query['user_code'] ?? '') ?? ''
    return keep(reply, deviceCookie, check).type('text/html; charset=utf-8').send(devicePage({ check, code }))
  }

  /** The hash of the code that a person entered; undefined when the page has said why not. */
  function readCode(form: Fields, check: string | undefined, reply: FastifyReply): string | undefined {
    // SECURITY: another site must not send this form, and so log a program of its own in as whoever looks at it.
    if (!check || !isSame(check, form['check'] ?? '')) {
      page(reply, 400, 'This form was not asked for in this browser, or too long ago: begin again.')
      return undefined
    }
    const code = readUserCode(form['user_code'] ?? '')
    if (code === undefined) page(reply, 400, 'This is not a code: look again at the other device.')
    return code && hashUserCode(code)
  }

  /** What a program that waits is told (RFC 8628 section 3.5): who has logged in for it, or why not. */
  async function redeem(provider: Brokered, form: Fields): Promise<Redeemed> {
    const { object, issuer } = provider
    const payload = await claims.open('device', issuer, form['device_code'] ?? '').catch(() => undefined)
    if (!payload) return { error: 'expired_token' }
    const { clientID, version, user } = payload as unknown as Record<'clientID' | 'version' | 'user', string>
    if (!clientOf(provider, clientID) || clientID !== form['client_id'] || version !== versionOf(object))
      return { error: 'invalid_grant' }
    const approval = await devices.take(user)
    if (!approval) return { error: pace.isTooFast(user) ? 'slow_down' : 'authorization_pending' }
    if (approval.version !== version) return { error: 'invalid_grant' }
    return { granted: { identity: approval.identity, clientID, version } }
  }

  /** Lets the program that shows a code know who has logged in, and tells the person so. */
  async function approve(
    code: string,
    { version, identity }: { version: string; identity: Identity },
    reply: FastifyReply,
  ) {
    const expiresAt = clock.now() + flowSeconds * 1000
    const approved = await devices.approve(code, { version, identity, expiresAt })
    if (!approved) return page(reply, 400, 'This code has been used: begin again on the other device.')
    return page(
      reply,
      200,
      `You are ${identity.username}. The other device goes on; this page can be closed.`,
    )
  }

  return { begin, askForCode, readCode, approve, redeem }
}
