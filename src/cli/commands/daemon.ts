import type { Command } from 'commander'
import type { Cli } from './cli.ts'
import { programCommand } from './program-command.ts'

export async function daemonCommand(cli: Cli): Promise<Command> {
  const { daemonSettings, runDaemon } = await import('#daemon/program')
  const description = 'Run the node daemon: it attests processes, and signs their requests on the wire'
  return programCommand(cli, 'daemon', description, daemonSettings, async (settings) => {
    await runDaemon(settings, {
      signal: cli.signal,
      onReady: ({ name, spiffeId, level, detail, trustBundle }) => {
        cli.terminal.say(`${name} serves as ${spiffeId}
  capture level: ${level}: ${detail}
  trust bundle:  ${trustBundle}`)
      },
    })
  })
}
