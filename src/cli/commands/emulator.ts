import type { Command } from 'commander'
import type { Cli } from './cli.ts'
import { programCommand } from './program-command.ts'

export async function emulatorCommand(cli: Cli): Promise<Command> {
  const { emulatorSettings, runEmulator } = await import('#emulator/program')
  const description =
    'Run a local AWS (STS, IAM, S3, SSM, Bedrock) that verifies signatures and tokens for real'
  return programCommand(cli, 'emulator', description, emulatorSettings, async (settings) => {
    await runEmulator(settings, {
      signal: cli.signal,
      onReady: ({ url, caFile, rootCredentialsFile }) => {
        cli.terminal.say(`the emulator answers at ${url}: it is not a real cloud
  its CA:            ${caFile}
  root credentials:  ${rootCredentialsFile}`)
      },
    })
  })
}
