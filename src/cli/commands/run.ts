import { Command, Option } from 'commander'
import type { Cli } from './cli.ts'
import { findRunDir } from './daemon-socket.ts'

interface Options {
  mode: 'auto' | 'kernel' | 'namespaces' | 'proxy'
  runDir?: string
}

export function runCommandCommand(cli: Cli): Command {
  return new Command('run')
    .description('Run a command so that the daemon of this node carries its connections')
    .argument('<COMMAND...>', 'the command and its arguments, after --')
    .option('--run-dir <DIR>', 'run directory of the daemon')
    .addOption(
      new Option('--mode <MODE>', 'auto takes the strongest that works here')
        .choices(['auto', 'kernel', 'namespaces', 'proxy'])
        .default('auto'),
    )
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Modes, from the strongest:
  kernel      the command joins the cgroup whose connections the kernel captures (needs root where it is not in it)
  namespaces  the command gets namespaces of its own whose only way out is the daemon
  proxy       the command is told of an explicit proxy by HTTPS_PROXY, and may ignore it
The command gets the variables that make OpenSSL, curl, Python, Node.js, Go, git and others trust the intercept CA.
Its exit code is this one's.`,
    )
    .action(async (words: string[], { mode, runDir }: Options) => {
      const { runCommand } = await import('#daemon/program')
      const [command, ...args] = words as [string, ...string[]]
      const say = (text: string) => cli.terminal.say(`tideway run: ${text}`)
      cli.setExitCode(
        await runCommand({
          mode,
          command,
          args,
          runDir: findRunDir(runDir, cli.env),
          env: cli.env,
          signal: cli.signal,
          say,
        }),
      )
    })
}
