import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import { Command } from 'commander'
import { Fault } from '#base/errors'
import { formatTime } from '#model/resource'
import { contextFilePath, selectContext } from '#cli/context'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

interface CreateOptions {
  ttl: string
  workloadId?: string
  group?: string[]
  output?: string
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

function seconds(text: string): number {
  const match = /^([1-9]\d{0,5})([smhd])$/.exec(text)
  if (!match) throw new Fault('SETTING_INVALID', '--ttl: a duration such as 10m, 1h or 7d is expected')
  return Number(match[1]) * unitSeconds[match[2]!]!
}

async function createToken(cli: Cli, options: CreateOptions): Promise<void> {
  if (options.output !== undefined && options.output !== 'json')
    throw new Fault('SETTING_INVALID', '--output: only json is known')
  const { server, caPem } = selectContext(contextFilePath(cli.env))
  const token = randomBytes(32).toString('base64url')
  const expireAt = formatTime(cli.clock.now() + seconds(options.ttl) * 1000)
  await openApi(cli).create({
    apiVersion: 'auth.riptides.io/v1alpha1',
    kind: 'JoinToken',
    metadata: { name: `join-${randomBytes(5).toString('hex')}` },
    spec: {
      token,
      expireAt,
      ...(options.workloadId !== undefined && { workloadID: options.workloadId }),
      ...(options.group && { daemonGroups: options.group }),
    },
  })
  const caHash =
    caPem && `sha256:${createHash('sha256').update(new X509Certificate(caPem).raw).digest('hex')}`
  if (options.output === 'json') {
    cli.terminal.print(JSON.stringify({ token, server, expireAt, ...(caHash && { caHash }) }))
    return
  }
  cli.terminal.print(token)
  cli.terminal
    .say(`This token joins one node, until ${expireAt}. Put it in a file on the node, readable by root only, then:
  tideway daemon --server ${server} --join-token-file FILE${caHash ? ` --ca-hash ${caHash}` : ''}`)
}

export function nodeCommand(cli: Cli): Command {
  const command = new Command('node').description('Let nodes join')
  const token = command.command('token').description('Tokens with which daemons join')
  token
    .command('create')
    .description('Make a single-use token with which one daemon joins; it is shown once and stored as a hash')
    .option('--ttl <DURATION>', 'how long it can be used', '1h')
    .option('--workload-id <ID>', 'workload ID that the daemon gets (a new one unless given)')
    .option(
      '--group <ID>',
      'daemon group that the daemon belongs to; repeatable',
      (value: string, before: string[] | undefined) => [...(before ?? []), value],
    )
    .option('-o, --output <FORMAT>', 'json: token, server, CA hash and expiry')
    .action((options: CreateOptions) => createToken(cli, options))
  return command
}
