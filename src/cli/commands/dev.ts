import { Command, Option } from 'commander'
import { runDemo, runDev, runEnclosedDemo } from '#cli/dev'
import type { Cli } from './cli.ts'

interface Options {
  demo?: boolean
  enclosed?: [base: string, cgroup: string]
  stateDir?: string
  connectTo: string[]
  upstreamCa?: string
}

export function devCommand(cli: Cli): Command {
  const run = async ({ demo, enclosed, stateDir, connectTo, upstreamCa }: Options): Promise<number> => {
    if (enclosed) return await runEnclosedDemo(cli, { base: enclosed[0], cgroup: enclosed[1] })
    if (demo) return await runDemo(cli)
    return await runDev(cli, { stateDir, connectTo, upstreamCa })
  }
  return new Command('dev')
    .description(
      'Run control plane, daemon and a local cloud on this machine, to play with or to demonstrate',
    )
    .option('--demo', 'tell the whole story with evidence, then clean up; exit code 0 only if all of it held')
    .option(
      '--state-dir <DIR>',
      'folder of the stack while it runs, cleared at each start (default: below your state directory)',
    )
    .option(
      '--connect-to <HOST:PORT=ADDR:PORT>',
      'dial ADDR:PORT for HOST:PORT; repeatable; for development only, and announced wherever it acts',
      (value: string, before: string[]) => [...before, value],
      [],
    )
    .option('--upstream-ca <FILE>', 'for development only: a CA to trust for these, beside the emulator')
    .addOption(new Option('--enclosed <WHERE...>', 'the half of the demo inside its namespaces').hideHelp())
    .action(async (options: Options) => cli.setExitCode(await run(options)))
}
