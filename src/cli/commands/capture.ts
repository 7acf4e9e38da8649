import { Command } from 'commander'
import type { Cli } from './cli.ts'
import { askDaemon, findRunDir } from './daemon-socket.ts'
import { requireRoot } from './require-root.ts'

export function captureCommand(cli: Cli): Command {
  const { terminal, env } = cli
  const command = new Command('capture').description(
    'Show and release how connections are captured on this node',
  )
  command
    .command('status')
    .description(
      'Show which capture level holds, what it guarantees, and, as root, what is attached in the kernel',
    )
    .option('--run-dir <DIR>', 'run directory of the daemon')
    .action(async ({ runDir }: { runDir?: string }) => {
      const directory = findRunDir(runDir, env)
      const attached = await kernelText(directory)
      try {
        const { level, detail } = await askDaemon<{ level: string; detail: string }>(directory, 'GET', '/run')
        terminal.print(`capture level: ${level}\n  ${detail}`)
      } catch (error) {
        // What a dead daemon left attached is just what one wants to see.
        if (attached === undefined) throw error
        terminal.print(
          `the daemon does not answer: identified processes are refused on their Services' ports`,
        )
      }
      if (attached !== undefined) terminal.print(attached)
    })
  command
    .command('release')
    .description(
      'Detach everything from the kernel by hand: identified processes then connect directly, unsigned',
    )
    .option('--run-dir <DIR>', 'run directory of the daemon')
    .action(async ({ runDir }: { runDir?: string }) => {
      requireRoot('capture release')
      const { pinDirectoryOf, releaseCapture } = await import('#daemon/program')
      const pins = pinDirectoryOf(findRunDir(runDir, env))
      terminal.print(
        releaseCapture(pins)
          ? `released: what was attached at ${pins} is no longer in the kernel`
          : `nothing was attached at ${pins}: another daemon's is named by its --run-dir`,
      )
    })
  return command
}

/** What is attached in the kernel; undefined where that is nothing, or not for this user to see. */
async function kernelText(runDir: string): Promise<string | undefined> {
  if (process.getuid!() !== 0) return undefined
  const { captureStatus, pinDirectoryOf } = await import('#daemon/program')
  const status = captureStatus(pinDirectoryOf(runDir))
  if (!status.attached) return undefined
  const { links, missing, alive, heartbeatAgeMs, candidates, verdicts, counters } = status
  return [
    `attached: ${links.length} hooks${missing.length > 0 ? `, MISSING: ${missing.join(', ')}` : ''}`,
    `daemon:   ${alive ? 'alive' : 'dead or stopped'}${heartbeatAgeMs === undefined ? '' : ` (last heartbeat ${heartbeatAgeMs} ms ago)`}`,
    `filter:   ${candidates} candidate rules, ${verdicts} verdicts`,
    ...Object.entries(counters).map(([name, count]) => `  ${name}: ${String(count)}`),
  ].join('\n')
}
