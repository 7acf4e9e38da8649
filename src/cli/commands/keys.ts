import { Command } from 'commander'
import { formatAge, formatInstant } from '#model/printing'
import { formatTable } from '#cli/output'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

export function keysCommand(cli: Cli): Command {
  const command = new Command('keys').description('Show and rotate the keys that sign tokens')
  command
    .command('list')
    .description('List the keys that sign tokens of workloads, and of service accounts')
    .action(async () => {
      const now = cli.clock.now()
      const rows = (await openApi(cli).keys()).map(({ kid, state, signs, createdAt, since, removeAt }) => [
        kid,
        state,
        formatAge(createdAt, now),
        formatInstant(since, now),
        removeAt === undefined ? '<none>' : `in ${formatAge(now, removeAt)}`,
        signs,
      ])
      cli.terminal.print(formatTable(['KID', 'STATE', 'AGE', 'SINCE', 'REMOVED', 'SIGNS'], rows))
    })
  command
    .command('rotate')
    .description('Publish new signing keys; they start to sign once verifiers have had time to fetch them')
    .action(async () => {
      const keys = await openApi(cli).rotateKeys()
      const now = cli.clock.now()
      for (const { kid, signs, since } of keys) {
        const from = since > now ? `in ${formatAge(now, since)}` : 'from now on'
        cli.terminal.print(`key ${kid} is published and signs ${signs} ${from}`)
      }
    })
  return command
}
