import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { Secret } from '#base/secret'
import { signSigV4 } from '#model/signing'
import { readClaim } from './claim.ts'
import { encodeRfc3986, recompute } from './recompute.ts'

const credential = {
  kind: 'aws',
  accessKeyId: 'ASIAEXAMPLE',
  secretAccessKey: Secret.of('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'),
  sessionToken: Secret.of('token+/='),
  issuedAt: 0,
  expiresAt: Number.MAX_SAFE_INTEGER,
} as const

const word = fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }).filter((text) => text.isWellFormed())
const encoded = word.map(encodeRfc3986).filter((text) => text !== '.' && text !== '..')
const path = fc.array(encoded, { maxLength: 5 }).map((segments) => `/${segments.join('/')}`)
const query = fc
  .array(fc.tuple(encoded, encoded), { maxLength: 5 })
  .map((pairs) => pairs.map(([name, value]) => `q${name}=${value}`).join('&'))
const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/)
const headers = fc.dictionary(fc.stringMatching(/^x-amz-meta-[a-z0-9-]{1,8}$/), value, { maxKeys: 4 })

describe("Tideway's own signer, judged by an implementation that shares nothing with it", () => {
  for (const service of ['s3', 'bedrock'] as const) {
    test(`signs any path, query and headers right for ${service}`, async () => {
      await fc.assert(
        fc.asyncProperty(path, query, headers, async (path, query, extra) => {
          const host = `${service}.us-east-1.amazonaws.com`
          const given = Object.entries(extra).map(([name, value]) => ({ name, value }))
          const payloadHash = 'UNSIGNED-PAYLOAD'
          const signed = signSigV4(
            { method: 'PUT', host, path, query, headers: given, payloadHash },
            credential,
            { service, region: 'us-east-1' },
            Date.UTC(2026, 0, 1),
          )
          const sent = [{ name: 'host', value: host }, ...given, ...signed.headers]
          const request = {
            method: 'PUT',
            target: signed.query === '' ? path : `${path}?${signed.query}`,
            headers: sent.map(({ name, value }) => [name, value] as const),
          }
          const reading = readClaim(request)
          assert.equal(reading.kind, 'claim')
          const { matches } = await recompute(request, {
            claim: reading.claim,
            secretAccessKey: credential.secretAccessKey,
            payloadHash,
            pathRule: service === 's3' ? 's3' : 'normalized',
          })
          assert.equal(matches, true)
        }),
        { numRuns: 300, examples: [['/key%2Fof%2Fparts%00', '', {}]] },
      )
    })
  }
})
