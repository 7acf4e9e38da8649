import type { Command } from 'commander'
import type { Cli } from './cli.ts'
import { contextCommand } from './context.ts'
import { emulatorCommand } from './emulator.ts'
import { versionCommand } from './version.ts'

interface Entry {
  readonly name: string
  readonly summary: string
  /** Makes the command; asynchronous where that loads a whole program. */
  create(cli: Cli): Command | Promise<Command>
}

/** Every top-level command, in the order in which help lists them. */
export const commands: readonly Entry[] = [
  { name: 'emulator', summary: 'Run a local AWS that verifies for real', create: emulatorCommand },
  { name: 'context', summary: 'Choose the control plane that commands speak to', create: contextCommand },
  {
    name: 'version',
    summary: 'Print the version of this program and of its runtime',
    create: versionCommand,
  },
]
