// The README's way to an own AWS account, command by command, with a bucket and a cloud on loopback in place of AWS.
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { text as readAll } from 'node:stream/consumers'
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import { resolveSettings } from '#base/settings'
import { prepareAccount, readRootCredentials } from '#cli/dev'
import { emulatorSettings, runEmulator, type EmulatorReady } from '#emulator/program'
import { openAuthority, serverIdentity } from '../src/daemon/outbound/fixture.ts'
import { commandsIn } from './docs-commands.ts'

const repository = path.resolve(import.meta.dirname, '..')
const program = path.join(repository, 'bin/tideway')
const accountId = '111122223333'
const sts = 'sts.us-west-2.amazonaws.com'
const curl = spawnSync('sh', ['-c', 'command -v curl'], { encoding: 'utf8' }).stdout.trim()
const skip = curl === '' ? 'there is no curl' : false

const readme = readFileSync(path.join(repository, 'README.md'), 'utf8')
const [, section = ''] = /^## Your own AWS account([^]*?)^## /m.exec(readme) ?? []
const steps = commandsIn(section, { file: 'README.md' })

/** The arguments of the README's command that begins with these words. */
function asPrinted(...words: readonly string[]): readonly string[] {
  const found = steps.find(({ args }) => words.every((word, index) => args[index] === word))
  assert.ok(found, `the README has no ${words.join(' ')}`)
  return found.args
}

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

describe('the way to an own account', { skip, timeout: 120_000 }, () => {
  const stack = new AsyncDisposableStack()
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-'))
  chmodSync(folder, 0o755) // a daemon started as root serves as another user
  const at = (name: string) => path.join(folder, name)
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    HOME: folder,
    TIDEWAY_CONTEXTS: at('contexts.yaml'),
  }
  let cloud: EmulatorReady
  let issuerUrl = ''
  let serverUrl = ''
  const substitutes = new Map<string, string>()
  const own = (args: readonly string[]) => args.map((arg) => substitutes.get(arg) ?? arg)

  async function tideway(args: readonly string[], input = ''): Promise<Ran> {
    const child = spawn(program, own(args), { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.end(input)
    const ended = once(child, 'close') as Promise<[number | null]>
    const [stdout, stderr, [code]] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended])
    return { code, stdout, stderr }
  }

  async function succeeds(args: readonly string[], input?: string): Promise<Ran> {
    const ran = await tideway(args, input)
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.stderr}${ran.stdout}`)
    return ran
  }

  /** Starts a program of ours and waits until it has said `ready`. */
  async function start(args: readonly string[], ready: RegExp): Promise<void> {
    const child: ChildProcess = spawn(program, own(args), {
      cwd: folder,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = once(child, 'close')
    stack.defer(async () => {
      child.kill('SIGTERM')
      await ended
    })
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text))
    while (!ready.test(said)) {
      const more = await Promise.race([once(child.stderr!, 'data'), ended.then(() => undefined)])
      assert.ok(more ?? ready.test(said), said)
    }
  }

  before(async () => {
    stack.defer(() => rmSync(folder, { recursive: true }))
    const authority = openAuthority('bucket')
    const bucket = createServer(serverIdentity('127.0.0.1', { authority }), ({ url = '' }, answer) => {
      try {
        answer.end(readFileSync(path.join(at('issuer'), path.normalize(url))))
      } catch {
        answer.writeHead(404).end()
      }
    }).listen(0, '127.0.0.1')
    stack.defer(() => void bucket.close())
    await once(bucket, 'listening')
    issuerUrl = `https://127.0.0.1:${(bucket.address() as AddressInfo).port}`
    writeFileSync(at('bucket-ca.pem'), authority.certificate.toString())

    const stop = new AbortController()
    const ready = Promise.withResolvers<EmulatorReady>()
    const flags = { listen: '127.0.0.1:0', stateDir: at('cloud'), issuerCa: at('bucket-ca.pem'), accountId }
    const running = runEmulator(resolveSettings(emulatorSettings, { flags }), {
      signal: stop.signal,
      onReady: ready.resolve,
      log: silentLog,
    })
    stack.defer(async () => {
      stop.abort()
      await running
    })
    cloud = await ready.promise
    writeFileSync(at('cas.pem'), authority.certificate.toString() + readFileSync(cloud.caFile, 'utf8'))
  })
  after(() => stack.disposeAsync())

  it('starts the server, whose tokens name the bucket', async () => {
    const args = asPrinted('server')
    substitutes.set(args[args.indexOf('--issuer-url') + 1]!, issuerUrl)
    const places = ['--listen', '--node-listen', '--health-listen'].flatMap((name) => [name, '127.0.0.1:0'])
    const inPlaceOfAws = [
      '--exchange-ca',
      at('cas.pem'),
      '--connect-to',
      `${sts}:443=${cloud.host}:${cloud.port}`,
    ]
    await start(
      [...args, '--data-dir', at('server'), ...places, ...inPlaceOfAws],
      /the control plane answers at/,
    )
    const { stdout } = await succeeds(['context', 'list'])
    serverUrl = /https:\S+/.exec(stdout)![0]
  })

  it('publishes the issuer', async () => {
    await succeeds(asPrinted('oidc', 'publish'))
    const discovery = readFileSync(path.join(at('issuer'), '.well-known/openid-configuration'), 'utf8')
    assert.equal((JSON.parse(discovery) as { issuer: string }).issuer, issuerUrl)
  })

  it('declares the workload', async () => {
    const example = readFileSync(path.join(repository, 'examples/aws-account.yaml'), 'utf8')
    const mine = example
      .replace('process:uid: 1000', `process:uid: ${process.getuid!()}`)
      .replace('/usr/bin/curl', realpathSync(curl))
      .replace('credentialSource: aws-account', '$&\n  minimumCapture: user')
    const { stdout } = await succeeds(asPrinted('ctl', 'apply'), mine)
    assert.equal(stdout.match(/ created$/gm)?.length, 4)
  })

  /** Runs the script with an AWS CLI that knows of nothing yet; gives the words of all its calls. */
  function recordAwsCalls(script: string): readonly string[] {
    const shim = `case "$2" in get-*) exit 1 ;; esac; printf '%s\\n' "$@" >> "$CALLS"`
    mkdirSync(at('bin'))
    writeFileSync(at('bin/aws'), `#!/bin/sh\n${shim}\n`, { mode: 0o755 })
    const { status, stderr } = spawnSync('sh', [script], {
      encoding: 'utf8',
      env: { PATH: `${at('bin')}:${process.env['PATH']}`, CALLS: at('calls') },
    })
    assert.equal(status, 0, stderr)
    return readFileSync(at('calls'), 'utf8').split('\n')
  }

  it('prints what AWS needs, which then trusts it', async () => {
    const { stdout } = await succeeds(asPrinted('setup', 'aws'))
    writeFileSync(at('setup.sh'), stdout)
    const calls = recordAwsCalls(at('setup.sh'))
    const value = (option: string) => calls[calls.indexOf(option) + 1]!
    const { accessKeyId, secretAccessKey } = readRootCredentials(cloud.rootCredentialsFile)
    await prepareAccount(
      {
        address: cloud.host,
        port: cloud.port,
        caPem: readFileSync(cloud.caFile, 'utf8'),
        clock: systemClock,
        root: {
          kind: 'aws',
          accessKeyId,
          secretAccessKey: Secret.of(secretAccessKey),
          sessionToken: Secret.of(''),
          issuedAt: 0,
          expiresAt: Number.MAX_SAFE_INTEGER,
        },
      },
      {
        issuerUrl: value('--url'),
        audience: value('--client-id-list'),
        roleName: value('--role-name'),
        trustPolicy: value('--assume-role-policy-document'),
        permissions: value('--policy-document'),
      },
    )
  })

  it('joins this node', async () => {
    const { stdout, stderr } = await succeeds(asPrinted('node', 'token', 'create'))
    writeFileSync(at('join-token'), stdout, { mode: 0o600 })
    substitutes.set('https://127.0.0.1:8443', serverUrl).set('sha256:HASH', /sha256:\w+/.exec(stderr)![0])
    const places = [
      '--state-dir',
      at('daemon'),
      '--run-dir',
      at('run'),
      '--capture',
      'none',
      '--workers',
      '1',
    ]
    const inPlaceOfAws = [
      '--upstream-ca',
      cloud.caFile,
      '--connect-to',
      `${sts}:443=${cloud.host}:${cloud.port}`,
    ]
    await start([...asPrinted('daemon'), ...places, ...inPlaceOfAws], /capture level:/)
  })

  it('signs for curl, and says so', async () => {
    await succeeds(asPrinted('ctl', 'wait'))
    const [, ...rest] = asPrinted('run')
    const { stdout } = await succeeds(['run', '--run-dir', at('run'), ...rest])
    assert.match(stdout, new RegExp(`arn:aws:sts::${accountId}:assumed-role/tideway-curl/me=curl`))
    assert.match(
      (await succeeds(asPrinted('audit'))).stdout,
      /spiffe:\/\/example\.org\/me\/curl .* injected as ASIA/,
    )
  })

  it('the other harmless commands of the pages work too', async () => {
    const here = ['--run-dir', at('run')]
    await succeeds(['capture', 'status', ...here])
    await succeeds(['attest', String(process.pid), ...here])
    assert.match((await succeeds(['trust', 'bundle', ...here])).stdout, /^export AWS_CA_BUNDLE=/m)
    await succeeds(['ctl', 'get', 'daemons'])
    await succeeds(['ctl', 'get', 'all'])
    await succeeds(['ctl', 'describe', 'credentialbinding', 'aws-account'])
    await succeeds(['ctl', 'rotate', 'credentialbinding/aws-account'])
    await succeeds(['keys', 'list'])
    assert.match((await succeeds(['version'])).stdout, /\d+\.\d+\.\d+/)
  })

  it('a rotated key is there once the issuer is published again', async () => {
    await succeeds(['keys', 'rotate'])
    const published = readFileSync(path.join(at('issuer'), 'jwks'), 'utf8')
    await succeeds(asPrinted('oidc', 'publish'))
    const again = readFileSync(path.join(at('issuer'), 'jwks'), 'utf8')
    const keys = (text: string) => (JSON.parse(text) as { keys: unknown[] }).keys.length
    assert.equal(keys(again), keys(published) + 1)
  })
})
