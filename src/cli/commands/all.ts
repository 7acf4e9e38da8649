import type { Command } from 'commander'
import type { Cli } from './cli.ts'
import { contextCommand } from './context.ts'
import { versionCommand } from './version.ts'

/** Every top-level command, in the order in which help lists them. */
export const commandFactories: readonly ((cli: Cli) => Command)[] = [contextCommand, versionCommand]
