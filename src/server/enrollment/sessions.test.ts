import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { test } from 'node:test'
import { certificatesToPem, parseCertificate } from '#model/pki'
import { openTestServer } from './fixture.ts'

test('one daemon that opens many connections has its oldest closed, and nobody else', async () => {
  await using server = await openTestServer()
  const [many, other] = [await server.joined(), await server.joined()]
  const open = async ({ key, response }: typeof many) => {
    const session = connect(`https://${server.node.nodeEndpoint}`, {
      ca: certificatesToPem(server.ca.bundle()),
      checkServerIdentity: () => undefined,
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      cert: certificatesToPem(response.chainDer.map(parseCertificate)),
    })
    session.on('error', () => {})
    await once(session, 'remoteSettings')
    return session
  }
  const first = await open(other)
  const sessions = []
  for (let count = 0; count < 17; count++) sessions.push(await open(many))
  const [oldest, ...newer] = sessions
  if (!oldest!.closed) await once(oldest!, 'close')
  assert.ok([first, ...newer].every(({ closed }) => !closed))
  for (const session of [first, ...newer]) session.destroy()
})
