// The main job against Ceph RGW: an STS and an S3 that verify for real and that nobody wrote to please us.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { decodeJwt } from 'jose'
import { systemClock } from '#base/clock'
import type { AuditRecord } from '#model/audit'
import type { Result } from './command.ts'
import { forge } from './tokens.ts'
import { waitFor } from './tideway.ts'
import { uids } from './workload.ts'
import { openWorld, type World } from './world.ts'

/** The HTTP status is the last line of what curl prints. */
const withStatus = ['-w', '\n%{http_code}']

function statusOf({ code, stdout, stderr }: Result): number {
  assert.equal(code, 0, stderr)
  return Number(stdout.split('\n').at(-1))
}

function succeeded({ code, stdout, stderr }: Result): void {
  assert.equal(code, 0, stderr + stdout)
}

let world: World
/** The only token that ever goes out for the workload `expired`: it is made early, as it has to grow old. */
let agedToken: string | undefined

before(async () => {
  world = await openWorld()
  const endpoint = world.relay.endpoint('expired', (form) => {
    agedToken ??= form.get('WebIdentityToken')!
    form.set('WebIdentityToken', agedToken)
  })
  await world.admit({ name: 'expired', uid: 61_014, endpoint, idTokenLifetime: '60s' })
  await world.tideway.untilStatus('credentialbinding', 'expired', ({ state }) => state === 'OK')
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

suite('a workload that holds no credential', () => {
  before(async () => {
    await world.admit({ name: 'objects', uid: uids.workload })
    await world.tideway.untilStatus('credentialbinding', 'objects', ({ state }) => state === 'OK')
    const source = await world.tideway.status('credentialsource', 'objects')
    assert.equal(source.state, 'AVAILABLE', String(source.message))
  })

  test('uses objects with boto3 that does not sign', async () => {
    succeeded(await world.as(uids.workload).python('objects.py', 'unsigned', world.ceph.url, 'python'))
  })

  test('uses objects with boto3 that signs with keys which are nobody’s', async () => {
    succeeded(await world.as(uids.workload).python('objects.py', 'dummy', world.ceph.url, 'dummy'))
  })

  for (const program of ['curl', 'aws']) {
    test(`uses objects with ${program}`, async () => {
      const folder = world.home(uids.workload)
      succeeded(
        await world.as(uids.workload).shell('objects.sh', program, world.ceph.url, `with-${program}`, folder),
      )
    })
  }

  test('uses objects with fetch of Node.js', async () => {
    succeeded(await world.as(uids.workload).node('objects.mjs', world.ceph.url, 'fetch'))
  })

  test('uses objects with the AWS SDK for JavaScript', async () => {
    succeeded(await world.as(uids.workload).node('objects-sdk.mjs', world.ceph.url, 'sdk-bucket'))
  })

  test('gets no credential out of the STS that is served beside S3', async () => {
    const form = 'Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam:::role/objects&RoleSessionName=own'
    const answer = await world.as(uids.workload).curl(...withStatus, '-d', form, `${world.ceph.url}/`)
    assert.equal(statusOf(answer), 403, answer.stdout)
    assert.match(answer.stdout, /tideway/)
    assert.doesNotMatch(answer.stdout, /SessionToken/)
  })

  test('leaves an audit record of each request that Ceph served, and of no other', async () => {
    const served = world.ceph.servedTo('spiffe://rgw.example/rgw/objects').toSorted()
    assert(served.length > 200, `${served.length} requests`)
    const injected = await waitFor('the last records', async () => {
      const answer = await world.tideway.cli(['audit', '--limit', '10000', '-o', 'json'])
      succeeded(answer)
      const records = answer.stdout.trimEnd().split('\n')
      const requests = records.flatMap((line) => {
        const record = JSON.parse(line) as AuditRecord
        if (record.type !== 'request.start' || record.decision !== 'injected') return []
        return record.binding === 'objects' ? [`${record.method} ${record.path}`] : []
      })
      return requests.length >= served.length ? requests.toSorted() : undefined
    })
    assert.deepEqual(injected, served)
  })

  test('is another than a stranger, whose requests arrive unsigned and are refused', async () => {
    const { ceph } = world
    const url = `${ceph.url}/fetch/many/0`
    assert.equal(statusOf(await world.as(uids.workload).curl(...withStatus, url)), 200)
    const stranger = await world.as(uids.stranger).curl(...withStatus, '--cacert', ceph.caFile, url)
    assert.equal(statusOf(stranger), 403, stranger.stdout)
    assert.match(stranger.stdout, /<Code>AccessDenied</)
  })
})

suite('an exchange that Ceph refuses is reported in the status of the source', () => {
  /** Waits for the refusal; `logged` is what Ceph, which answers everybody the same, says of it in its own log. */
  async function refused(name: string, logged: string, act: () => Promise<unknown>): Promise<string> {
    assert.equal(world.ceph.countInLog(logged), 0)
    await act()
    const { state, message = '' } = await world.untilRefused(name)
    assert.equal(state, 'FAILED', message)
    assert(world.ceph.countInLog(logged) > 0, `no ${logged} in the log of Ceph`)
    assert.match(message, /refuses and gives no reason; check .*\(answer 403 AccessDenied\)/)
    return message
  }

  test('a wrong audience', async () => {
    const message = await refused('audience', "Client id in token doesn't match", () =>
      world.admit({ name: 'audience', uid: 61_010, audience: 'https://elsewhere.example' }),
    )
    assert.match(message, /:aud" = "https:\/\/elsewhere\.example".* registered .* with this audience/)
  })

  test('a subject that the trust policy does not admit', async () => {
    const message = await refused('subject', 'returned deny/pass', () =>
      world.admit({ name: 'subject', uid: 61_011, admitted: 'spiffe://rgw.example/rgw/somebody-else' }),
    )
    assert.match(
      message,
      /trust policy of arn:aws:iam:::role\/subject .*:sub" = "spiffe:\/\/rgw\.example\/rgw\/subject"/,
    )
  })

  test('a token signed by somebody else in our name', async () => {
    const endpoint = world.relay.endpoint('forged', async (form) => {
      form.set('WebIdentityToken', await forge(form.get('WebIdentityToken')!))
    })
    const message = await refused('forged', 'Signature validation failed', () =>
      world.admit({ name: 'forged', uid: 61_012, endpoint }),
    )
    assert.match(message, /that its keys can be fetched/)
  })

  test('a token of an issuer that is not registered', async () => {
    const endpoint = world.relay.endpoint('foreign', async (form) => {
      form.set(
        'WebIdentityToken',
        await forge(form.get('WebIdentityToken')!, { iss: 'https://127.0.0.1:1/foreign' }),
      )
    })
    const message = await refused('foreign', "Couldn't get oidc provider", () =>
      world.admit({ name: 'foreign', uid: 61_013, endpoint }),
    )
    assert.match(message, /is registered as an OIDC provider/)
  })

  test('an expired token; the credential of before serves on', async () => {
    const { exp } = decodeJwt(agedToken!)
    await systemClock.sleep(Math.max(0, exp! * 1000 + 1000 - systemClock.now()))
    const { credential } = await world.tideway.status('credentialbinding', 'expired')
    const message = await refused('expired', 'token expired', () =>
      world.tideway.cli(['ctl', 'rotate', 'credentialbinding/expired']),
    )
    assert.match(message, /check the clocks.*the present credential serves until/)
    const binding = await world.tideway.status('credentialbinding', 'expired')
    assert.equal(binding.state, 'OK')
    assert.equal(binding.credential?.id, credential!.id)
  })
})

suite('over time', () => {
  const life = 8
  /** Which credentials were in use. */
  const seen = new Set<string>()

  before(async () => {
    const endpoint = world.relay.endpoint('brief', (form) => form.set('DurationSeconds', String(life)))
    await world.admit({ name: 'brief', uid: 61_020, endpoint })
    await world.tideway.untilStatus('credentialbinding', 'brief', ({ state }) => state === 'OK')
  })

  test('credentials that live for seconds are renewed, and no request notices', async () => {
    await using flow = world.as(61_020).flow(`${world.ceph.url}/`)
    await waitFor('three credentials', async () => {
      const { credential } = await world.tideway.status('credentialbinding', 'brief')
      if (credential) seen.add(credential.id)
      return seen.size >= 4 || undefined
    })
    assert.deepEqual(
      flow.answers.filter(({ status }) => status !== 200),
      [],
    )
    assert(flow.answers.length > 50, `${flow.answers.length} requests`)
  })

  test('Ceph takes tokens of the next key once the issuer has rotated', async () => {
    const before = await world.tideway.signingCertificate()
    succeeded(await world.tideway.cli(['keys', 'rotate']))
    await waitFor('another key that signs', async () => {
      const now = await world.tideway.signingCertificate()
      return now.equals(before) ? undefined : true
    })
    succeeded(await world.tideway.cli(['ctl', 'rotate', 'credentialbinding/objects']))
    const { state, message } = await world.tideway.status('credentialsource', 'objects')
    assert.equal(state, 'AVAILABLE', String(message))
  })

  test('a deleted binding cuts what is open; later requests arrive unsigned and are refused', async () => {
    const { ceph, tideway } = world
    await using flow = world.as(uids.workload).flow(`${ceph.url}/fetch/many/0`)
    await waitFor('requests that flow', async () => flow.answers.length > 10 || undefined)
    assert(flow.answers.every(({ status }) => status === 200))
    succeeded(await tideway.cli(['ctl', 'delete', 'credentialbinding', 'objects']))
    const deleted = flow.answers.length
    await waitFor('the cut', async () => flow.answers.some(({ status }) => status !== 200) || undefined)
    const signed = flow.answers.slice(deleted).filter(({ status }) => status === 200)
    assert(signed.length <= 20, `${signed.length} requests were answered after the deletion`)
    const answer = await world
      .as(uids.workload)
      .curl(...withStatus, '--cacert', ceph.caFile, `${ceph.url}/fetch/many/0`)
    assert.equal(statusOf(answer), 403, answer.stdout)
    assert.match(answer.stdout, /<Code>AccessDenied</)
  })
})
