import { spawn, spawnSync } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { Fault } from '#base/errors'
import type { RunFacts } from './facts.ts'
import { standInFor } from './signals.ts'

const namespaces = ['--user', '--map-root-user', '--net', '--mount']

/** Whether a command can be enclosed here, by really making the namespaces. */
export function canEnclose(): boolean {
  return spawnSync('unshare', [...namespaces, '--', 'true'], { stdio: 'ignore' }).status === 0
}

/** What the enclosing process is told. */
export interface EnclosureOrder {
  readonly facts: RunFacts
  readonly controlSocket: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The caller, as whom the command runs. */
  readonly uid: number
  readonly gid: number
}

/**
 * Runs a command in a user, mount and network namespace of its own, whose only way out is a relay to the daemon;
 * gives its exit code. Everything goes when we go, however that happens.
 * @throws Fault CAPTURE_UNAVAILABLE when the enclosure cannot be set up
 */
export async function runEnclosed(order: EnclosureOrder): Promise<number> {
  let failure: string | undefined
  const start = () => {
    const child = spawn(
      'unshare',
      [
        ...namespaces,
        '--',
        'setpriv',
        '--pdeathsig=KILL',
        '--',
        process.execPath,
        '--disable-sigusr1',
        '--disable-warning=ExperimentalWarning',
        fileURLToPath(new URL('./enclosure-child.ts', import.meta.url)),
      ],
      {
        stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
        env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
      },
    )
    child.on('message', (message) => {
      failure = (message as { failure?: string }).failure
    })
    child.send(order, () => {}) // a child that could not start shows in its exit
    return child
  }
  const code = await standInFor(start)
  if (failure !== undefined) throw new Fault('CAPTURE_UNAVAILABLE', `the enclosure failed: ${failure}`)
  return code
}
