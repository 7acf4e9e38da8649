import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import type { Cli } from './cli.ts'

export function versionText(): string {
  const manifest = path.resolve(import.meta.dirname, '../../../package.json')
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}

export function versionCommand({ terminal }: Cli): Command {
  return new Command('version')
    .description('Print the version of this program and of its runtime')
    .action(() => {
      terminal.print(
        `tideway ${versionText()}\nnode ${process.versions.node} (${process.platform} ${process.arch})`,
      )
    })
}
