import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { resolveSettings } from '#base/settings'
import { saveContext } from '#cli/context'
import { runServer, serverSettings, type AdminAccess, type ServerReady } from '#server/program'
import { runCommandLine } from './run-cli.ts'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  readonly input?: string | Buffer
  readonly env?: NodeJS.ProcessEnv
  readonly signal?: AbortSignal
  /** Is told what is printed, as it is. */
  readonly onPrint?: (text: string) => void
  /** Is told what is said, as it is. */
  readonly onSay?: (text: string) => void
}

/** Runs a command line in this process. */
export async function runLine(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { input = '', env = {}, signal = new AbortController().signal, onPrint, onSay } = options
  const written = { stdout: '', stderr: '' }
  const line = (text: string) => (text.endsWith('\n') ? text : `${text}\n`)
  const code = await runCommandLine(args, {
    terminal: {
      print: (text) => {
        written.stdout += line(text)
        onPrint?.(text)
      },
      say: (text) => {
        written.stderr += line(text)
        onSay?.(text)
      },
    },
    env,
    clock: systemClock,
    signal,
    readInput: async () => Buffer.from(input),
  })
  return { code, ...written }
}

/** A control plane with a context for it, and the command line to try on it. */
export interface CliBed extends AsyncDisposable {
  readonly folder: string
  readonly contexts: string
  readonly ready: ServerReady
  readonly admin: AdminAccess
  /** Runs a command line as the administrator. */
  run(args: readonly string[], options?: RunOptions): Promise<Outcome>
  /** Writes a file into the folder and returns its path. */
  file(name: string, content: string | Buffer): Promise<string>
}

export async function openCliBed(flags: Readonly<Record<string, unknown>> = {}): Promise<CliBed> {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-cli-'))
  const contexts = join(folder, 'contexts.yaml')
  const any = '127.0.0.1:0'
  const settings = resolveSettings(serverSettings, {
    flags: {
      dataDir: join(folder, 'server'),
      listen: any,
      nodeListen: any,
      healthListen: any,
      trustDomain: 'example.org',
      ...flags,
    },
  })
  const stop = new AbortController()
  const started = Promise.withResolvers<ServerReady>()
  let admin: AdminAccess | undefined
  const ended = runServer(settings, {
    signal: stop.signal,
    log: silentLog,
    onReady: started.resolve,
    saveAdminAccess: (access) => {
      admin = access
      const { token, ...rest } = access
      saveContext(contexts, { ...rest, token: token.revealText() }, { makeCurrent: true })
    },
  })
  ended.catch(started.reject)
  const ready = await started.promise
  return {
    folder,
    contexts,
    ready,
    admin: admin!,
    run: (args, { env, ...options } = {}) =>
      runLine(args, { ...options, env: { TIDEWAY_CONTEXTS: contexts, ...env } }),
    async file(name, content) {
      const path = join(folder, name)
      await writeFile(path, content)
      return path
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await ended
      await rm(folder, { recursive: true })
    },
  }
}

/** A manifest of one Service. */
export function serviceManifest(name: string, address = `${name}.example.org`): string {
  return `apiVersion: core.riptides.io/v1alpha1
kind: Service
metadata:
  name: ${name}
spec:
  labels:
    app: ${name}
  addresses:
    - address: ${address}
      port: 443
  external: true
`
}
