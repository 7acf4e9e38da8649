import { Command } from 'commander'
import { Fault } from '#base/errors'
import type { Attested } from '#daemon/program'
import type { Cli } from './cli.ts'
import { askDaemon, findRunDir } from './daemon-socket.ts'

function render({
  pid,
  executable,
  attributes,
  verdict,
  identity,
  spiffeId,
  identities,
  conditions,
}: Attested): string {
  const conclusion = {
    identified: `identified as ${spiffeId} (workloadidentity/${identity})`,
    stranger: 'a stranger: no identity matches',
    tie: 'none: several identities match, and none of them more strongly than the others',
  }[verdict]
  const width = Math.max(0, ...Object.keys(attributes).map((key) => key.length))
  const rows = Object.entries(attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([key, values]) => values.map((value) => `  ${key.padEnd(width)}  ${value}`))
  const explained = identities.flatMap(({ name, matched, reasons }) => [
    `  ${name}: ${matched ? 'matches' : 'does not match'}`,
    ...reasons.map((reason) => `    ${reason}`),
  ])
  const wrong = conditions.map(
    ({ subject, type, status, message }) => `  ${subject}: ${type}=${status}: ${message}`,
  )
  return [
    `PROCESS:     ${pid} ${executable}`,
    `IDENTITY:    ${conclusion}`,
    'ATTRIBUTES:',
    ...rows,
    `IDENTITIES IN THE SCOPE OF THIS DAEMON:${explained.length === 0 ? ' none' : ''}`,
    ...explained,
    ...(wrong.length === 0 ? [] : ['CONDITIONS OF WHAT ITS REQUESTS DEPEND ON:', ...wrong]),
  ].join('\n')
}

export function attestCommand(cli: Cli): Command {
  return new Command('attest')
    .description('Show what this node knows about a process, which identity it bears, and why not another')
    .argument('<PID>', 'process id')
    .option('--run-dir <DIR>', 'run directory of the daemon')
    .option('-o, --output <FORMAT>', 'json')
    .action(async (text: string, { runDir, output }: { runDir?: string; output?: string }) => {
      if (!/^[1-9]\d{0,9}$/.test(text))
        throw new Fault('SETTING_INVALID', `${JSON.stringify(text)} is not a process id`)
      if (output !== undefined && output !== 'json')
        throw new Fault('SETTING_INVALID', '--output: only json is known')
      const directory = findRunDir(runDir, cli.env)
      const explanation = await askDaemon<Attested>(directory, 'POST', '/attest', { pid: Number(text) })
      cli.terminal.print(output === 'json' ? JSON.stringify(explanation, null, 2) : render(explanation))
    })
}
