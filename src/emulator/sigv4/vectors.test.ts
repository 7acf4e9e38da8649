import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Secret } from '#base/secret'
import { readClaim } from './claim.ts'
import { sha256 } from './aws-chunked.ts'
import { recompute } from './recompute.ts'
import type { WireRequest } from './wire-request.ts'

const folder = join(import.meta.dirname, '../../../../shared/vectors/aws-sigv4')
const present = existsSync(folder)

interface Context {
  credentials: { secret_access_key: string }
  normalize: boolean
  sign_body: boolean
  omit_session_token?: boolean
}

/** Reads the suite's HTTP/1.1 text, folded header lines included. */
function parse(text: string): { request: WireRequest; body: string } {
  const [head = '', ...body] = text.replaceAll('\r\n', '\n').split('\n\n')
  const [line = '', ...fields] = head.replaceAll(/\n[ \t]+/g, ' ').split('\n')
  const [, method = '', target = ''] = /^(\S+) (.*) HTTP\/1\.1$/.exec(line) ?? []
  const headers = fields
    .filter((field) => field !== '')
    .map((field) => {
      const colon = field.indexOf(':')
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1)] as const
    })
  return { request: { method, target, headers }, body: body.join('\n\n') }
}

/** Cases of both versions; two of v4a were published without a result. */
const cases = (present ? ['v4', 'v4a'] : []).flatMap((version) =>
  readdirSync(join(folder, version))
    .map((name) => `${version}/${name}`)
    .filter((name) => existsSync(join(folder, name, 'header-signed-request.txt'))),
)

describe(
  'the public SigV4 vectors',
  { skip: present ? false : 'the vectors are not on this machine' },
  () => {
    for (const name of cases) {
      const read = (file: string) => readFileSync(join(folder, name, file), 'utf8')
      for (const form of ['header', 'query'] as const) {
        test(`${name} verifies in the ${form} form, and not when one digit is changed`, async () => {
          const context = JSON.parse(read('context.json')) as Context
          const { request, body } = parse(read(`${form}-signed-request.txt`))
          const reading = readClaim(request)
          assert.equal(reading.kind, 'claim')
          const { claim } = reading
          const options = {
            claim,
            secretAccessKey: Secret.of(context.credentials.secret_access_key),
            payloadHash: sha256(context.sign_body ? body : ''),
            pathRule: context.normalize ? ('normalized' as const) : ('s3' as const),
          }
          const result = await recompute(request, options)
          // A token added to a URL after signing is for IoT alone: everywhere else it must have been signed.
          if (form === 'query' && context.omit_session_token) return assert.equal(result.matches, false)
          assert.equal(result.canonicalRequest, read(`${form}-canonical-request.txt`))
          assert.equal(result.stringToSign, read(`${form}-string-to-sign.txt`))
          assert.equal(result.matches, true)
          const digit = claim.signature.endsWith('0') ? '1' : '0'
          const forged = { ...claim, signature: claim.signature.slice(0, -1) + digit }
          assert.equal((await recompute(request, { ...options, claim: forged })).matches, false)
        })
      }
    }
  },
)
