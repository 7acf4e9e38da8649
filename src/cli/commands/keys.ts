import { Command } from 'commander'
import { formatAge, formatInstant } from '#model/printing'
import { formatTable } from '#cli/output'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

export function keysCommand(cli: Cli): Command {
  const command = new Command('keys').description('Show and rotate the keys that sign workload tokens')
  command
    .command('list')
    .description("List the issuer's keys")
    .action(async () => {
      const now = cli.clock.now()
      const rows = (await openApi(cli).keys()).map(({ kid, state, createdAt, since, removeAt }) => [
        kid,
        state,
        formatAge(createdAt, now),
        formatInstant(since, now),
        removeAt === undefined ? '' : `in ${formatAge(now, removeAt)}`,
      ])
      cli.terminal.print(formatTable(['KID', 'STATE', 'AGE', 'SINCE', 'REMOVED'], rows))
    })
  command
    .command('rotate')
    .description('Publish a new signing key; it starts to sign once verifiers have had time to fetch it')
    .action(async () => {
      const { kid, since } = await openApi(cli).rotateKeys()
      const now = cli.clock.now()
      cli.terminal.print(
        `key ${kid} is published and signs ${since > now ? `in ${formatAge(now, since)}` : 'from now on'}`,
      )
    })
  return command
}
