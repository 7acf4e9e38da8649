// Clients of the AWS SDK with made-up keys, through the data plane to the emulator, which verifies what it gets; S3,
// DynamoDB and Transcribe have tests of their own.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { after, before, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import {
  BedrockRuntimeClient,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime'
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { Secret } from '#base/secret'
import { credential, openBed, scopeOf, type Bed } from '../src/daemon/outbound/fixture.ts'
import { allow, assume, openTestEmulator, prepare } from '../src/emulator/program/test-emulator.ts'

const sts = 'sts.us-east-1.amazonaws.com'
const bedrock = 'bedrock-runtime.us-east-1.amazonaws.com'
const modelId = 'anthropic.claude-3-haiku-20240307-v1:0'
const role = 'arn:aws:sts::123456789012:assumed-role/app/my-session'
const made = {
  region: 'us-east-1',
  maxAttempts: 1,
  credentials: { accessKeyId: 'AKIANOTREAL', secretAccessKey: 'not-a-secret', sessionToken: 'foreign' },
}
const stack = new AsyncDisposableStack()
let bed: Bed

before(async () => {
  const emulator = stack.use(await openTestEmulator())
  await prepare(emulator, allow('bedrock:*'))
  const { accessKeyId, secretAccessKey, sessionToken } = await assume(emulator)
  const { host: address, port: addressPort, caFile } = emulator.ready
  bed = stack.use(
    openBed({
      connectTo: [sts, bedrock].map((host) => ({ host, port: 443, address, addressPort })),
      upstreamTrust: { systemRootsPem: [readFileSync(caFile, 'utf8')] },
    }),
  )
  const granted = credential(accessKeyId)
  const secrets = { secretAccessKey: Secret.of(secretAccessKey), sessionToken: Secret.of(sessionToken) }
  bed.plane.apply(
    scopeOf(443, {
      service: { addresses: [sts, bedrock].map((host) => ({ host, port: 443 })) },
      credentials: [{ ...granted, credential: { ...granted.credential, ...secrets } }],
    }),
  )
})

after(() => stack.disposeAsync())

/** Connects to `host` as if it were captured. */
async function connectionTo(host: string, protocol: 'h2' | 'http/1.1'): Promise<() => TLSSocket> {
  const { port } = await bed.listen({ host, port: 443 })
  const own = { host: '127.0.0.1', servername: host, ca: bed.interceptCaPem }
  return () => connect({ ...own, port, ALPNProtocols: [protocol] })
}

test('the STS client of the AWS SDK learns who it is, and gets no credential', async () => {
  const agent = new Agent()
  agent.createConnection = await connectionTo(sts, 'http/1.1')
  const client = new STSClient({ ...made, requestHandler: { httpsAgent: agent } })
  assert.equal((await client.send(new GetCallerIdentityCommand({}))).Arn, role)
  const more = { RoleArn: 'arn:aws:iam::123456789012:role/app', RoleSessionName: 'more' }
  await assert.rejects(client.send(new AssumeRoleCommand(more)), {
    name: 'REQUEST_REFUSED',
    message: /would return credentials/,
  })
  client.destroy()
})

test('the Bedrock client of the AWS SDK gets answers whole and streamed, over HTTP/2', async () => {
  const createConnection = await connectionTo(bedrock, 'h2')
  const requestHandler = { nodeHttp2ConnectOptions: { createConnection } }
  const client = new BedrockRuntimeClient({ ...made, requestHandler })
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hello' }] })
  const whole = await client.send(new InvokeModelCommand({ modelId, body }))
  assert.match(Buffer.from(whole.body).toString(), /You said: Hello/)
  const streamed = await client.send(new InvokeModelWithResponseStreamCommand({ modelId, body }))
  const types: unknown[] = []
  for await (const { chunk } of streamed.body!) {
    types.push((JSON.parse(Buffer.from(chunk!.bytes!).toString()) as { type: string }).type)
  }
  assert.equal(types.at(-1), 'message_stop')
  assert(
    bed.audit.starts.filter(({ host }) => host === bedrock).every(({ decision }) => decision === 'injected'),
  )
  client.destroy()
})
