// The table of endpoints against botocore's own resolver: all services, regions and variants; and what counts as a
// call that returns credentials against its models. By hand: npm run test:peers; needs pip, and a quarter of an hour.
import assert from 'node:assert/strict'
import { mkdtempDisposableSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { before, test } from 'node:test'
import { deriveSigningScope, isCredentialIssuance } from '#model/signing'
import { mustRun } from '../rgw/command.ts'
import { sources } from './programs.ts'

const root = path.resolve(sources, '../..')
const table = path.join(root, 'src/model/signing/endpoint-table.ts')

/** Where we answer otherwise than botocore, and why. */
const differences: readonly { readonly hosts: RegExp; readonly origin?: RegExp; readonly reason: string }[] =
  [
    {
      hosts: /^(?:maps|places|routes)\.geo(?:-fips)?\./,
      reason: 'two services answer there, each with a signing name of its own: undefined',
    },
    {
      hosts: /\.s3-accelerate\./,
      reason: 'the name does not tell the region of the bucket: undefined',
    },
    {
      hosts: /^(?:budgets|cloudfront)(?:-fips)?\.(?:amazonaws\.com|api\.aws)$/,
      origin: /\/aws-us-gov-global\//,
      reason: 'the same name in the commercial partition, where the service really has it',
    },
  ]

const folder = mkdtempDisposableSync(path.join(tmpdir(), 'tideway-botocore-'))
process.once('exit', () => folder.remove())
const python = path.join(folder.path, 'bin/python')

before(async () => {
  const [, version] = /botocore ([0-9.]+)/.exec(readFileSync(table, 'utf8')) ?? []
  await mustRun(['/usr/bin/python3', '-m', 'venv', folder.path])
  await mustRun([python, '-m', 'pip', '--quiet', 'install', `botocore==${version}`])
})

test('the committed table is what the generator makes of that release', async () => {
  const data = await mustRun([
    python,
    '-c',
    'import botocore, os; print(os.path.dirname(botocore.__file__) + "/data")',
  ])
  const again = path.join(folder.path, 'table.ts')
  await mustRun([process.execPath, path.join(root, 'tools/endpoints/generate.ts'), data.trim(), again])
  assert.equal(readFileSync(again, 'utf8'), readFileSync(table, 'utf8'))
})

test('every endpoint that botocore resolves is signed for what botocore signs it for', async () => {
  const printed = await mustRun([python, path.join(sources, 'endpoints.py')])
  const lines = printed.trimEnd().split('\n')
  assert.ok(lines.length > 40_000, `${lines.length} endpoints`)
  const wrong = lines.filter((line) => {
    const [host = '', service, region, algorithm, origin = ''] = line.split(' ')
    const known = differences.some((one) => one.hosts.test(host) && (one.origin?.test(origin) ?? true))
    const derived = deriveSigningScope(host)
    const asked =
      algorithm === 'v4a' ? derived?.regionSet : derived?.regionSet === undefined && derived?.region
    return !known && (derived?.service !== service || asked !== region)
  })
  assert.deepEqual(wrong, [])
})

/** Names a secret key that only the call which makes it returns. */
const withoutKeys = ['lightsail GetBucketAccessKeys']

test('every operation that AWS credentials come back from counts as one', async () => {
  const printed = await mustRun([python, path.join(sources, 'issuance.py')])
  const lines = printed.trimEnd().split('\n')
  assert.ok(lines.length > 25, `${lines.length} operations`)
  const missed = lines.filter((line) => {
    const [service = '', method = '', uri = '', target = '', operation = ''] = line.split(' ')
    const [route = '', query = ''] = uri.split('?')
    const headers =
      target === '-'
        ? [{ name: 'content-type', value: 'application/x-www-form-urlencoded' }]
        : [{ name: 'x-amz-target', value: target }]
    const request = { method, path: route, query, headers, bodyText: `Action=${operation}` }
    return !withoutKeys.includes(`${service} ${operation}`) && !isCredentialIssuance(service, request)
  })
  assert.deepEqual(missed, [])
})
