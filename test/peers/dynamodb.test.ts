// DynamoDB as moto has it, which checks every signature with botocore's signer: an upstream that owes nothing to us.
// By hand: npm run test:peers; needs pip. Half a minute after the installation.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { connect } from 'node:tls'
import {
  CreateTableCommand,
  DynamoDBClient,
  GetItemCommand,
  ListTablesCommand,
  PutItemCommand,
  QueryCommand,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import { Secret } from '#base/secret'
import {
  credential,
  openAuthority,
  openBed,
  scopeOf,
  serverIdentity,
  type Bed,
} from '../../src/daemon/outbound/fixture.ts'
import { installMoto, sources } from './programs.ts'

const host = 'dynamodb.us-east-1.amazonaws.com'
const TableName = 'peers'
const stack = new AsyncDisposableStack()
let bed: Bed
let moto: Moto

interface Moto {
  readonly port: number
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string }
  readonly caPem: string
}

async function startMoto(python: string): Promise<Moto> {
  const folder = stack.use(mkdtempDisposableSync(path.join(tmpdir(), 'tideway-moto-')))
  const authority = openAuthority('upstream')
  const { key, cert } = serverIdentity(host, { authority })
  const files = [path.join(folder.path, 'cert.pem'), path.join(folder.path, 'key.pem')]
  writeFileSync(files[0]!, cert)
  writeFileSync(files[1]!, key, { mode: 0o600 })
  const child = spawn(python, [path.join(sources, 'moto_upstream.py'), ...files], {
    env: { PATH: process.env['PATH'], HOME: folder.path },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const exited = once(child, 'exit')
  stack.defer(async () => {
    child.kill()
    await exited
  })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { ...(JSON.parse(line) as Pick<Moto, 'port' | 'keys'>), caPem: authority.certificate.toString() }
}

const nobody = { accessKeyId: 'AKIANOTREAL', secretAccessKey: 'not-a-secret' }

/** A client that takes whoever listens at `port` for DynamoDB. */
function openTables({ port, ca }: { port: number; ca: string }, credentials: Moto['keys']): DynamoDBClient {
  const httpsAgent = new Agent({ keepAlive: true })
  httpsAgent.createConnection = (): Socket => connect({ host: '127.0.0.1', port, servername: host, ca })
  const client = new DynamoDBClient({
    region: 'us-east-1',
    maxAttempts: 1,
    requestHandler: { httpsAgent },
    credentials,
  })
  stack.defer(() => client.destroy())
  return client
}

before(async () => {
  moto = await startMoto(await installMoto())
  bed = stack.use(
    openBed({
      connectTo: [{ host, port: 443, address: '127.0.0.1', addressPort: moto.port }],
      upstreamTrust: { systemRootsPem: [moto.caPem] },
    }),
  )
  const granted = credential()
  const { accessKeyId, secretAccessKey } = moto.keys
  const known = { accessKeyId, secretAccessKey: Secret.of(secretAccessKey), sessionToken: Secret.of('') }
  bed.plane.apply(
    scopeOf(443, {
      service: { addresses: [{ host, port: 443 }] },
      credentials: [{ ...granted, credential: { ...granted.credential, ...known } }],
    }),
  )
})
after(() => stack.disposeAsync())

test('moto refuses what is signed with another secret', async () => {
  const { accessKeyId } = moto.keys
  const tables = openTables(
    { port: moto.port, ca: moto.caPem },
    { accessKeyId, secretAccessKey: 'not-a-secret' },
  )
  await assert.rejects(
    tables.send(new ListTablesCommand({})),
    // It answers in a form that this client cannot read.
    ({ $response }: { $response?: { statusCode: number } }) => $response?.statusCode === 403,
  )
})

test('tables, items, queries and transactions, all signed for a client with keys that are nobody’s', async () => {
  const proxy = await bed.listen({ host, port: 443 })
  const tables = openTables({ port: proxy.port, ca: bed.interceptCaPem }, nobody)
  await tables.send(
    new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    }),
  )
  const Item = { id: { S: 'one' }, text: { S: 'é☃' }, large: { B: Buffer.alloc(300_000, 'x') } }
  await tables.send(new PutItemCommand({ TableName, Item }))
  const got = await tables.send(new GetItemCommand({ TableName, Key: { id: { S: 'one' } } }))
  assert.equal(got.Item!['text']!.S, 'é☃')
  assert.equal(got.Item!['large']!.B!.length, 300_000)
  await assert.rejects(
    tables.send(new PutItemCommand({ TableName, Item, ConditionExpression: 'attribute_not_exists(id)' })),
    { name: 'ConditionalCheckFailedException' },
  )
  const puts = ['two', 'three'].map((id) => ({ Put: { TableName, Item: { id: { S: id } } } }))
  await tables.send(new TransactWriteItemsCommand({ TransactItems: puts }))
  const found = await tables.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: 'id = :id',
      ExpressionAttributeValues: { ':id': { S: 'two' } },
    }),
  )
  assert.equal(found.Count, 1)
  assert.ok(bed.audit.starts.length > 0 && bed.audit.starts.every(({ decision }) => decision === 'injected'))
})
