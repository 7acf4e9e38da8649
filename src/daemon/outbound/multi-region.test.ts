import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenTls, openBed, scopeOf, serverIdentity } from './fixture.ts'
import { answering, openClient, response } from './talk.ts'

const accessPoint = 'mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com'

test('an endpoint of several regions gets SigV4A, for all of them or those that the client names', async () => {
  await using bed = openBed()
  const seen: { authorization: string; regionSet: string }[] = []
  await using upstream = await listenTls(
    serverIdentity(accessPoint, { authority: bed.upstreamCa }),
    answering(({ head }) => {
      const values = (name: string) => head.headers.filter((header) => header.name === name)
      const only = (name: string) => {
        assert.equal(values(name).length, 1)
        return values(name)[0]!.value
      }
      seen.push({ authorization: only('authorization'), regionSet: only('x-amz-region-set') })
      return response()
    }),
  )
  bed.plane.apply(scopeOf(443, { service: { addresses: [{ host: accessPoint, port: upstream.port }] } }))
  await using proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy, { servername: accessPoint })
  for (const asked of [undefined, 'eu-west-1, us-*', 'nonsense!']) {
    const lines = [
      'GET /key HTTP/1.1',
      `Host: ${accessPoint}:${upstream.port}`,
      'Authorization: AWS4-ECDSA-P256-SHA256 Credential=AKIANOTREAL/x, SignedHeaders=host, Signature=0',
      ...(asked === undefined ? [] : [`X-Amz-Region-Set: ${asked}`]),
      '\r\n',
    ]
    assert.equal((await client.send(lines.join('\r\n')))?.head.status, 200)
  }
  assert.deepEqual(
    seen.map(({ regionSet }) => regionSet),
    ['*', 'eu-west-1, us-*', '*'],
  )
  for (const { authorization } of seen) {
    assert.match(
      authorization,
      /^AWS4-ECDSA-P256-SHA256 Credential=ASIAFIRST\/\d{8}\/s3\/aws4_request, SignedHeaders=\S*;x-amz-region-set;\S*, Signature=30[0-9a-f]+$/,
    )
  }
})
