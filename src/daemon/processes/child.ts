import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Fault } from '#base/errors'
import { javascriptOf, takesSources } from './javascript.ts'

export interface ChildPrivileges {
  readonly uid: number
  readonly gid: number
  /** Lower-case names without `cap_`, such as `sys_ptrace`; all others leave every set. */
  readonly capabilities: readonly string[]
}

const setprivPaths = ['/usr/bin/setpriv', '/bin/setpriv']

function findSetpriv(): string {
  for (const path of setprivPaths) {
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      continue
    }
  }
  throw new Fault('PLATFORM_UNSUPPORTED', `setpriv is missing at ${setprivPaths.join(' and ')}`, {
    hint: 'install util-linux',
  })
}

function privilegeArguments({ uid, gid, capabilities }: ChildPrivileges): string[] {
  const kept = ['-all', ...capabilities.map((name) => `+${name}`)].join(',')
  return [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    `--bounding-set=${kept}`,
    `--inh-caps=${kept}`,
    `--ambient-caps=${kept}`,
  ]
}

/**
 * Starts a module of ours in a child process with an IPC channel, through setpriv(1): it dies with us, gains
 * nothing by executing set-user-ID programs, and has exactly the privileges given (ours if none are). Its modules
 * reach it over standard input where they have types that it would have to strip.
 * @throws Fault PLATFORM_UNSUPPORTED
 */
export function startChild(
  module: URL,
  {
    privileges,
    relocate = (path) => path,
    threads = 4,
  }: {
    privileges?: ChildPrivileges
    /** Where the child finds a file of this program, if not where we do. */
    relocate?: (path: string) => string
    /** For what would block: files, and names of hosts. */
    threads?: number
  } = {},
): ChildProcess {
  const sources = javascriptOf(module)
  const boot = `data:text/javascript,${encodeURIComponent(takesSources)}`
  // SECURITY: capabilities belong to threads, so they are set before the runtime has any. No inspector by
  // SIGUSR1, and nothing of our environment that could load code (security rule 21).
  const child = spawn(
    findSetpriv(),
    [
      '--pdeathsig=KILL',
      '--no-new-privs',
      ...(privileges ? privilegeArguments(privileges) : []),
      '--',
      relocate(process.execPath),
      '--disable-sigusr1',
      // Bodies pass through memory outside the heap, and V8 counts it: unless it looks through the young part often,
      // and lets the heap double before it looks through all, it spends as much on that as on the bodies.
      '--max-semi-space-size=1',
      '--heap-growing-percent=100',
      '--disable-warning=ExperimentalWarning',
      ...(sources.size > 0 ? ['--import', boot] : []),
      relocate(fileURLToPath(module)),
    ],
    {
      stdio: ['pipe', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        UV_THREADPOOL_SIZE: String(threads),
      },
    },
  )
  child.stdin!.on('error', () => {}) // it ended before it had read all: whoever supervises it is told
  const found = Array.from(sources, ([url, source]) => [
    pathToFileURL(relocate(fileURLToPath(url))).href,
    source,
  ])
  child.stdin!.end(JSON.stringify(found))
  return child
}
