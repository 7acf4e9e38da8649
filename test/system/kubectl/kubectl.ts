// Real kubectl programs, and a control plane for them.
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { openTestBed, type TestServer } from '../../../src/server/program/fixture.ts'
import { mustRun } from '../../rgw/command.ts'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A control plane, and kubectl as its administrator. */
export interface Place {
  readonly server: TestServer
  readonly run: (...args: string[]) => Promise<Outcome>
  /** What it prints; fails unless it ends well. */
  readonly read: (...args: string[]) => Promise<string>
  /** Goes on until the end of the test. */
  readonly start: (...args: string[]) => ChildProcessByStdio<null, Readable, null>
}

/** kubectl 1.20 of Debian, unpacked beside the system: another release of it may be installed there. */
export async function debianKubectl(): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-kubectl-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const download = () => mustRun(['apt-get', '-qq', 'download', 'kubernetes-client'], { cwd: folder })
  await download().catch(async () => {
    await mustRun(['apt-get', '-qq', 'update'])
    await download()
  })
  const [archive] = globSync('kubernetes-client_*.deb', { cwd: folder })
  await mustRun(['dpkg-deb', '-x', archive!, 'root'], { cwd: folder })
  return path.join(folder, 'root/usr/bin/kubectl')
}

export async function openPlace(t: TestContext, kubectl: string): Promise<Place> {
  const bed = await openTestBed(t)
  const server = await bed.start()
  const { token, caPem } = bed.access!
  const home = mkdtempSync(path.join(tmpdir(), 'tideway-kubectl-'))
  t.after(() => rmSync(home, { recursive: true, force: true }))
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'tideway',
        cluster: {
          server: server.ready.url,
          'certificate-authority-data': Buffer.from(caPem!).toString('base64'),
        },
      },
    ],
    users: [{ name: 'admin', user: { token: token.revealText() } }],
    contexts: [
      { name: 'tideway', context: { cluster: 'tideway', user: 'admin', namespace: 'riptides-system' } },
    ],
    'current-context': 'tideway',
  }
  const file = path.join(home, 'config')
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  const options = { env: { PATH: process.env['PATH'], HOME: home, KUBECONFIG: file } }

  const run = (...args: string[]) =>
    new Promise<Outcome>((resolve) => {
      execFile(kubectl, args, { ...options, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      )
    })
  return {
    server,
    run,
    async read(...args) {
      const { code, stdout, stderr } = await run(...args)
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${code}\n${stdout}${stderr}`)
      return stdout
    },
    start(...args) {
      const child = spawn(kubectl, args, { ...options, stdio: ['ignore', 'pipe', 'ignore'] })
      t.after(() => child.kill())
      return child
    },
  }
}
