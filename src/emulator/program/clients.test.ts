import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { get } from 'node:https'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { setDefaultCACertificates } from 'node:tls'
import { BedrockAgentRuntimeClient, InvokeAgentCommand } from '@aws-sdk/client-bedrock-agent-runtime'
import {
  BedrockRuntimeClient,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import {
  GetParameterCommand,
  GetParametersByPathCommand,
  PutParameterCommand,
  SSMClient,
} from '@aws-sdk/client-ssm'
import {
  AssumeRoleCommand,
  AssumeRoleWithWebIdentityCommand,
  GetCallerIdentityCommand,
  STSClient,
} from '@aws-sdk/client-sts'
import {
  agentFor,
  allow,
  assume,
  iam,
  openTestEmulator,
  prepare,
  type TestEmulator,
} from './test-emulator.ts'

const modelId = 'anthropic.claude-3-haiku-20240307-v1:0'

describe('the AWS SDK for JavaScript', () => {
  let emulator: TestEmulator
  let config: ReturnType<typeof clientConfig>
  before(async () => {
    emulator = await openTestEmulator()
    // The HTTP/2 handler of the Bedrock clients takes no CA.
    setDefaultCACertificates([readFileSync(emulator.ready.caFile, 'utf8')])
    await prepare(emulator, allow(['s3:*', 'ssm:*', 'bedrock:*']))
    config = clientConfig(emulator, await assume(emulator))
  })
  after(() => emulator[Symbol.asyncDispose]())

  const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString()

  test('exchanges a token and learns who it is', async () => {
    const sts = new STSClient(config)
    const answer = await sts.send(
      new AssumeRoleWithWebIdentityCommand({
        RoleArn: 'arn:aws:iam::123456789012:role/app',
        RoleSessionName: 'sdk',
        WebIdentityToken: await emulator.issuer.mint(),
      }),
    )
    assert.equal(answer.Audience, 'sts.amazonaws.com')
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken = '' } = answer.Credentials ?? {}
    const credentials = {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
    }
    const own = new STSClient(clientConfig(emulator, credentials))
    const identity = await own.send(new GetCallerIdentityCommand({}))
    assert.equal(identity.Arn, 'arn:aws:sts::123456789012:assumed-role/app/sdk')
    await assert.rejects(
      sts.send(
        new AssumeRoleWithWebIdentityCommand({
          RoleArn: 'arn:aws:iam::123456789012:role/app',
          RoleSessionName: 'sdk',
          WebIdentityToken: await emulator.issuer.mint({ exp: 1 }),
        }),
      ),
      { name: 'ExpiredTokenException' },
    )
  })

  test("AssumeRole follows the trust policy, and the caller's own where that names only the account", async () => {
    const trust = (AWS: string) =>
      JSON.stringify({ Statement: [{ Effect: 'Allow', Principal: { AWS }, Action: 'sts:AssumeRole' }] })
    const roles = {
      'by-name': trust('arn:aws:iam::123456789012:role/app'),
      'by-account': trust('arn:aws:iam::123456789012:root'),
      'by-other': trust('arn:aws:iam::210987654321:root'),
    }
    const outcome = async (name: string, client: STSClient) => {
      const RoleArn = `arn:aws:iam::123456789012:role/${name}`
      const command = new AssumeRoleCommand({ RoleArn, RoleSessionName: 'next' })
      return await client.send(command).then(
        () => 'ok',
        (error: Error) => error.name,
      )
    }
    const session = new STSClient(config)
    const root = new STSClient(clientConfig(emulator, emulator.root))
    for (const [RoleName, AssumeRolePolicyDocument] of Object.entries(roles)) {
      await iam(emulator, 'CreateRole', { RoleName, AssumeRolePolicyDocument })
    }
    assert.equal(await outcome('by-name', session), 'ok')
    assert.equal(await outcome('by-account', session), 'AccessDenied')
    assert.equal(await outcome('by-account', root), 'ok')
    assert.equal(await outcome('by-other', root), 'AccessDenied')
    assert.equal(await outcome('none', root), 'AccessDenied')
  })

  test('S3: objects, ranges, metadata, listing, deletion, odd keys', async () => {
    const s3 = new S3Client({ ...config, forcePathStyle: true })
    const Bucket = 'first'
    await s3.send(new CreateBucketCommand({ Bucket }))
    for (const Key of ['a/1', 'a/2', 'b', "odd +~'()*&é☃ //x"]) {
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: `<${Key}>`, Metadata: { k: 'v' } }))
      const object = await s3.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
      assert.equal(await object.Body?.transformToString(), `<${Key}>`)
      assert.deepEqual(object.Metadata, { k: 'v' })
      assert.ok(object.ChecksumCRC32)
    }
    const part = await s3.send(new GetObjectCommand({ Bucket, Key: 'a/1', Range: 'bytes=1-3' }))
    assert.equal(await part.Body?.transformToString(), 'a/1')
    assert.equal(part.ContentRange, 'bytes 1-3/5')
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'b' }))).ContentLength, 3)
    const list = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: '/', MaxKeys: 2 }))
    assert.deepEqual(list.CommonPrefixes, [{ Prefix: 'a/' }])
    assert.deepEqual(
      list.Contents?.map(({ Key }) => Key),
      ['b'],
    )
    const ContinuationToken = list.NextContinuationToken
    const rest = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: '/', ContinuationToken }))
    assert.deepEqual(rest.CommonPrefixes, [{ Prefix: "odd +~'()*&é☃ /" }])
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'b' }))
    await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: 'b' })), { name: 'NoSuchKey' })
    await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'b' })), { name: 'NotFound' })
    await assert.rejects(s3.send(new GetObjectCommand({ Bucket: 'none', Key: 'b' })), {
      name: 'NoSuchBucket',
    })
  })

  test('S3: a stream of unknown content goes aws-chunked with a checksum trailer', async () => {
    const s3 = new S3Client({ ...config, forcePathStyle: true })
    await s3.send(new CreateBucketCommand({ Bucket: 'streams' }))
    const chunk = Buffer.alloc(64 * 1024, 'x')
    for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
      const target = { Bucket: 'streams', Key: ChecksumAlgorithm }
      const Body = Readable.from([chunk, chunk, Buffer.from('end')])
      await s3.send(new PutObjectCommand({ ...target, Body, ContentLength: 131_075, ChecksumAlgorithm }))
      const object = await s3.send(new GetObjectCommand(target))
      assert.equal((await object.Body?.transformToString())?.length, 131_075)
      assert.equal(object.ContentEncoding, undefined)
    }
  })

  test('S3: a multipart upload', async () => {
    const s3 = new S3Client({ ...config, forcePathStyle: true })
    const target = { Bucket: 'parts', Key: 'large' }
    await s3.send(new CreateBucketCommand({ Bucket: 'parts' }))
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand(target))
    const Parts = []
    for (const [index, Body] of [Buffer.alloc(5 << 20, 'a'), Buffer.from('b')].entries()) {
      const PartNumber = index + 1
      const { ETag } = await s3.send(new UploadPartCommand({ ...target, UploadId, PartNumber, Body }))
      Parts.push({ ETag, PartNumber })
    }
    const done = await s3.send(
      new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }),
    )
    assert.match(done.ETag ?? '', /-2"$/)
    assert.equal((await s3.send(new HeadObjectCommand(target))).ContentLength, (5 << 20) + 1)
  })

  test('S3: virtual-hosted style', async () => {
    const port = emulator.ready.port
    const s3 = new S3Client({ ...config, endpoint: `https://localhost:${port}` })
    await s3.send(new CreateBucketCommand({ Bucket: 'virtual' }))
    await s3.send(new PutObjectCommand({ Bucket: 'virtual', Key: 'k', Body: 'v' }))
    const hosts = emulator.records().map(({ host }) => host)
    assert.ok(hosts.includes(`virtual.localhost:${port}`))
  })

  test('SSM: parameters by name and by path, in pages', async () => {
    const ssm = new SSMClient(config)
    for (let index = 10; index < 22; index++) {
      await ssm.send(new PutParameterCommand({ Name: `/app/${index}`, Value: `v${index}`, Type: 'String' }))
    }
    await ssm.send(new PutParameterCommand({ Name: '/app/deep/secret', Value: 'hush', Type: 'SecureString' }))
    const first = await ssm.send(new GetParametersByPathCommand({ Path: '/app' }))
    assert.equal(first.Parameters?.length, 10)
    const NextToken = first.NextToken
    const second = await ssm.send(new GetParametersByPathCommand({ Path: '/app', NextToken }))
    assert.deepEqual(
      second.Parameters?.map(({ Value }) => Value),
      ['v20', 'v21'],
    )
    const Name = '/app/deep/secret'
    const sealed = await ssm.send(new GetParameterCommand({ Name }))
    assert.notEqual(sealed.Parameter?.Value, 'hush')
    const open = await ssm.send(new GetParameterCommand({ Name, WithDecryption: true }))
    assert.equal(open.Parameter?.Value, 'hush')
    await assert.rejects(ssm.send(new GetParameterCommand({ Name: '/none' })), { name: 'ParameterNotFound' })
  })

  test('Bedrock: an agent answers in an event stream', async () => {
    const bedrock = new BedrockAgentRuntimeClient(config)
    const answer = await bedrock.send(
      new InvokeAgentCommand({
        agentId: 'AGENT123',
        agentAliasId: 'ALIAS456',
        sessionId: 's-1',
        inputText: 'Hello',
      }),
    )
    let said = ''
    for await (const event of answer.completion ?? []) said += text(event.chunk?.bytes)
    assert.match(
      said,
      /not a real model.*You are arn:aws:sts::123456789012:assumed-role\/app\/my-session.*Hello$/,
    )
  })

  test('Bedrock: a model answers whole and streamed', async () => {
    const bedrock = new BedrockRuntimeClient(config)
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hello' }] })
    const whole = await bedrock.send(new InvokeModelCommand({ modelId, body }))
    assert.match(text(whole.body), /You said: Hello/)
    const streamed = await bedrock.send(new InvokeModelWithResponseStreamCommand({ modelId, body }))
    const types: unknown[] = []
    for await (const event of streamed.body ?? []) {
      types.push((JSON.parse(text(event.chunk?.bytes)) as { type: string }).type)
    }
    assert.deepEqual(types.slice(0, 2), ['message_start', 'content_block_delta'])
    assert.equal(types.at(-1), 'message_stop')
  })

  test('what the policies do not allow is refused by name', async () => {
    const narrow = await assume(emulator, { Policy: allow('s3:GetObject', 'arn:aws:s3:::only/*') })
    const own = clientConfig(emulator, narrow)
    const command = new PutObjectCommand({ Bucket: 'only', Key: 'k', Body: 'x' })
    await assert.rejects(new S3Client({ ...own, forcePathStyle: true }).send(command), {
      name: 'AccessDenied',
      message: /my-session is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::only\/k/,
    })
    await assert.rejects(new SSMClient(own).send(new GetParameterCommand({ Name: '/a' })), {
      name: 'AccessDeniedException',
    })
    await assert.rejects(
      new BedrockRuntimeClient(own).send(new InvokeModelCommand({ modelId, body: '{}' })),
      {
        name: 'AccessDeniedException',
      },
    )
  })

  test('a name of AWS gets a certificate for just that name', async () => {
    const host = 'bucket.s3.eu-west-1.amazonaws.com'
    const names = await new Promise<string | undefined>((resolve, reject) => {
      const { ready } = emulator
      get(
        {
          host: ready.host,
          port: ready.port,
          servername: host,
          headers: { host },
          agent: agentFor(emulator),
        },
        (response) => {
          resolve(
            (
              response.socket as unknown as { getPeerX509Certificate(): { subjectAltName: string } }
            ).getPeerX509Certificate().subjectAltName,
          )
          response.resume()
        },
      ).on('error', reject)
    })
    assert.equal(names, `DNS:${host}`)
  })
})

/** Region, credentials and endpoint; HTTP/1.1 except for the Bedrock clients. */
function clientConfig(emulator: TestEmulator, credentials: { accessKeyId: string; secretAccessKey: string }) {
  return {
    endpoint: emulator.ready.url,
    region: 'us-east-1',
    credentials,
    maxAttempts: 1,
    requestHandler: { httpsAgent: agentFor(emulator) },
  }
}
