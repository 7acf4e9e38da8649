import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  allow,
  assume,
  openTestEmulator,
  prepare,
  run,
  trustPolicy,
  type TemporaryCredentials,
  type TestEmulator,
} from './test-emulator.ts'

const aws = '/usr/bin/aws'
const python = '/usr/bin/python3'
const curl = '/usr/bin/curl'
const hasBoto = existsSync(python) && (await run(python, ['-c', 'import boto3'])).code === 0

const account = '123456789012'
const arn = (kind: string, name: string) => `arn:aws:iam::${account}:${kind}/${name}`

describe(
  "Debian's AWS CLI",
  { skip: existsSync(aws) ? false : 'awscli is not installed: apt-get install awscli' },
  () => {
    let emulator: TestEmulator
    before(async () => {
      emulator = await openTestEmulator()
    })
    after(() => emulator[Symbol.asyncDispose]())

    async function cli(args: readonly string[], env: Record<string, string> = asRoot()): Promise<string> {
      const { code, stdout, stderr } = await tryCli(args, env)
      assert.equal(code, 0, `aws ${args.join(' ')}: ${stderr}`)
      return stdout
    }
    const tryCli = (args: readonly string[], env: Record<string, string>) =>
      run(aws, ['--endpoint-url', emulator.ready.url, ...args], {
        AWS_CA_BUNDLE: emulator.ready.caFile,
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_MAX_ATTEMPTS: '1',
        AWS_EC2_METADATA_DISABLED: 'true',
        AWS_PAGER: '',
        ...env,
      })
    const asRoot = () => ({ AWS_SHARED_CREDENTIALS_FILE: emulator.ready.rootCredentialsFile })
    const file = (name: string, content: string) => {
      const path = join(emulator.folder, name)
      writeFileSync(path, content)
      return path
    }

    test('runs the IAM commands of the guide, then the role works until its policy is gone', async () => {
      const { url, host } = emulator.issuer
      // Optional at AWS, and in later versions of the CLI.
      const thumbprint = ['--thumbprint-list', '0'.repeat(40)]
      const clients = ['--client-id-list', 'sts.amazonaws.com']
      const created = await cli([
        'iam',
        'create-open-id-connect-provider',
        '--url',
        url,
        ...clients,
        ...thumbprint,
      ])
      const provider = arn('oidc-provider', host)
      assert.match(created, new RegExp(provider))
      assert.match(await cli(['iam', 'list-open-id-connect-providers']), new RegExp(provider))
      const described = await cli([
        'iam',
        'get-open-id-connect-provider',
        '--open-id-connect-provider-arn',
        provider,
      ])
      assert.deepEqual((JSON.parse(described) as { ClientIDList: string[] }).ClientIDList, [
        'sts.amazonaws.com',
      ])

      const trust = file('trust.json', trustPolicy(emulator, { sub: 'spiffe://example.org/my-app' }))
      const role = ['--role-name', 'TidewayRole']
      await cli(['iam', 'create-role', ...role, '--assume-role-policy-document', `file://${trust}`])
      const shown = JSON.parse(await cli(['iam', 'get-role', ...role])) as {
        Role: { Arn: string; AssumeRolePolicyDocument: { Statement: unknown[] } }
      }
      assert.equal(shown.Role.Arn, arn('role', 'TidewayRole'))
      assert.equal(shown.Role.AssumeRolePolicyDocument.Statement.length, 1)
      assert.match(await cli(['iam', 'list-roles']), /TidewayRole/)
      await cli(['iam', 'update-assume-role-policy', ...role, '--policy-document', `file://${trust}`])

      const inline = ['--policy-name', 'Inline']
      const document = ['--policy-document', allow('s3:*')]
      await cli(['iam', 'put-role-policy', ...role, ...inline, ...document])
      assert.match(await cli(['iam', 'get-role-policy', ...role, ...inline]), /"s3:\*"/)
      await cli(['iam', 'create-policy', '--policy-name', 'Managed', '--policy-document', allow(['ssm:*'])])
      const managed = ['--policy-arn', arn('policy', 'Managed')]
      await cli(['iam', 'attach-role-policy', ...role, ...managed])
      assert.match(await cli(['iam', 'list-attached-role-policies', ...role]), /policy\/Managed/)

      const token = file('token', await emulator.issuer.mint())
      const exchanged = JSON.parse(
        await cli(
          [
            'sts assume-role-with-web-identity --role-session-name cli --role-arn'.split(' '),
            [arn('role', 'TidewayRole'), '--web-identity-token', `file://${token}`],
          ].flat(),
          {},
        ),
      ) as { Credentials: { AccessKeyId: string; SecretAccessKey: string; SessionToken: string } }
      const { AccessKeyId, SecretAccessKey, SessionToken } = exchanged.Credentials
      const session = environment({
        accessKeyId: AccessKeyId,
        secretAccessKey: SecretAccessKey,
        sessionToken: SessionToken,
      })
      assert.match(await cli(['sts', 'get-caller-identity'], session), /assumed-role\/TidewayRole\/cli/)

      const content = file('content', 'hello')
      await cli(['s3', 'mb', 's3://cli-bucket'], session)
      await cli(['s3', 'cp', content, 's3://cli-bucket/dir/key with space'], session)
      assert.match(await cli(['s3', 'ls', 's3://cli-bucket/dir/'], session), /5 key with space/)
      assert.match(await cli(['s3', 'cp', 's3://cli-bucket/dir/key with space', '-'], session), /^hello$/)
      await cli(['s3', 'rm', 's3://cli-bucket/dir/key with space'], session)
      await cli(['ssm', 'put-parameter', '--name', '/a/b', '--value', 'v', '--type', 'String'], session)
      assert.match(await cli(['ssm', 'get-parameters-by-path', '--path', '/a'], session), /"Value": "v"/)

      await cli(['iam', 'detach-role-policy', ...role, ...managed])
      const denied = await tryCli(['ssm', 'get-parameter', '--name', '/a/b'], session)
      assert.match(
        denied.stderr,
        /AccessDeniedException.*TidewayRole\/cli is not authorized to perform: ssm:GetParameter/,
      )
      assert.match((await tryCli(['iam', 'delete-role', ...role], asRoot())).stderr, /DeleteConflict/)
      await cli(['iam', 'delete-role-policy', ...role, ...inline])
      await cli(['iam', 'delete-role', ...role])
      await cli(['iam', 'delete-open-id-connect-provider', '--open-id-connect-provider-arn', provider])
      assert.match((await tryCli(['iam', 'get-role', ...role], asRoot())).stderr, /NoSuchEntity/)
    })

    test('is refused IAM without the right key', async () => {
      const wrong = { AWS_ACCESS_KEY_ID: emulator.root.accessKeyId, AWS_SECRET_ACCESS_KEY: 'wrong' }
      assert.match((await tryCli(['iam', 'list-roles'], wrong)).stderr, /SignatureDoesNotMatch/)
      const bad = await tryCli(
        ['iam', 'create-role', '--role-name', 'x', '--assume-role-policy-document', '{"Statement":{}}'],
        asRoot(),
      )
      assert.match(bad.stderr, /MalformedPolicyDocument/)
    })
  },
)

describe('boto3', { skip: hasBoto ? false : 'boto3 is not installed: apt-get install python3-boto3' }, () => {
  test('puts, gets, presigns and uploads in parts', async () => {
    await using emulator = await openTestEmulator()
    await prepare(emulator, allow('s3:*'))
    const script = `
import boto3, io, os, urllib.request, ssl
s3 = boto3.client('s3', endpoint_url=os.environ['ENDPOINT'], config=boto3.session.Config(signature_version='s3v4'))
s3.create_bucket(Bucket='boto')
s3.put_object(Bucket='boto', Key='a b/é', Body=b'one', Metadata={'m': 'x'})
assert s3.get_object(Bucket='boto', Key='a b/é')['Body'].read() == b'one'
big = b'z' * (9 << 20)
s3.upload_fileobj(io.BytesIO(big), 'boto', 'big')
assert s3.head_object(Bucket='boto', Key='big')['ContentLength'] == len(big)
assert [o['Key'] for o in s3.list_objects_v2(Bucket='boto')['Contents']] == ['a b/é', 'big']
trust = ssl.create_default_context(cafile=os.environ['AWS_CA_BUNDLE'])
put = s3.generate_presigned_url('put_object', Params={'Bucket': 'boto', 'Key': 'p'}, ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(put, method='PUT', data=b'presigned'), context=trust)
get = s3.generate_presigned_url('get_object', Params={'Bucket': 'boto', 'Key': 'p'}, ExpiresIn=60)
assert urllib.request.urlopen(get, context=trust).read() == b'presigned'
try:
    s3.get_object(Bucket='boto', Key='none')
    raise SystemExit('no error')
except s3.exceptions.NoSuchKey:
    pass
`
    const { code, stderr } = await run(python, ['-c', script], {
      ENDPOINT: emulator.ready.url,
      AWS_CA_BUNDLE: emulator.ready.caFile,
      AWS_DEFAULT_REGION: 'us-east-1',
      ...environment(await assume(emulator)),
    })
    assert.equal(code, 0, stderr)
  })
})

describe('curl --aws-sigv4', { skip: existsSync(curl) ? false : 'curl is not installed' }, () => {
  test('puts and gets an object under the real host name', async () => {
    await using emulator = await openTestEmulator()
    await prepare(emulator, allow('s3:*'))
    const credentials = await assume(emulator)
    const { host, port, caFile } = emulator.ready
    const base = 'https://s3.us-east-1.amazonaws.com/curl'
    const s3 = (args: readonly string[], secret = credentials.secretAccessKey) =>
      run(curl, [
        '-sS',
        '--cacert',
        caFile,
        '--connect-to',
        `::${host}:${port}`,
        '--aws-sigv4',
        'aws:amz:us-east-1:s3',
        '-u',
        `${credentials.accessKeyId}:${secret}`,
        '-H',
        `x-amz-security-token: ${credentials.sessionToken}`,
        '-H',
        'x-amz-content-sha256: UNSIGNED-PAYLOAD',
        ...args,
      ])
    await s3(['-X', 'PUT', base])
    assert.equal((await s3(['-X', 'PUT', '--data-binary', 'hello', `${base}/key`])).stdout, '')
    assert.equal((await s3([`${base}/key`])).stdout, 'hello')
    assert.match(
      (await s3([`${base}/key`], 'wrong')).stdout,
      /<Code>SignatureDoesNotMatch<[^]*<CanonicalRequest>GET/,
    )
    const unsigned = await run(curl, [
      '-sS',
      '--cacert',
      caFile,
      '--connect-to',
      `::${host}:${port}`,
      `${base}/key`,
    ])
    assert.match(unsigned.stdout, /<Code>AccessDenied</)
  })
})

function environment(credentials: TemporaryCredentials): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken,
  }
}
