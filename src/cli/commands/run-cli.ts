import { addAbortSignal } from 'node:stream'
import { buffer as readAll } from 'node:stream/consumers'
import { Command, CommanderError } from 'commander'
import { systemClock } from '#base/clock'
import { isFault } from '#base/errors'
import { runProgram } from '#base/lifecycle'
import { exitCodeOf, openTerminal, renderFault } from '#cli/output'
import type { Cli } from './cli.ts'
import { versionText } from './version.ts'
import { commands } from './all.ts'

const usageError = 2
/** What shells report for a program that Ctrl-C ended. */
const interrupted = 130

/** Runs the command line `argv` (without node and script) in this process and returns the exit code; never throws. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const terminal = openTerminal()
  return await runProgram(({ signal }) =>
    runCommandLine(argv, {
      terminal,
      env: process.env,
      clock: systemClock,
      signal,
      readInput: () => readAll(addAbortSignal(signal, process.stdin)),
    }),
  )
}

/** Runs the command line `argv` with everything it needs given, and returns the exit code; never throws. */
export async function runCommandLine(
  argv: readonly string[],
  surroundings: Omit<Cli, 'setExitCode'>,
): Promise<number> {
  const { terminal, signal } = surroundings
  let exitCode = 0
  const setExitCode = (code: number) => {
    exitCode = code
  }
  try {
    const [first, ...rest] = argv
    const words = first === 'help' ? [...rest, '--help'] : [...argv]
    const root = await rootCommand({ ...surroundings, setExitCode }, words[0])
    await root.parseAsync(words, { from: 'user' })
    return exitCode
  } catch (error) {
    // commander has printed its own message, and reports --help and --version this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageError
    if (signal.aborted) {
      terminal.say((signal.reason as Error).message)
      return interrupted
    }
    terminal.say(renderFault(error))
    return isFault(error) ? exitCodeOf(error) : 1
  }
}

/** The command tree, of which only the branch `wanted` is really made: the others would load whole programs. */
async function rootCommand(cli: Cli, wanted: string | undefined): Promise<Command> {
  const root = new Command('tideway')
    .description('Gives Linux processes access to AWS and other services without ever holding a secret.')
    .version(versionText(), '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .showHelpAfterError('(run with --help for usage)')
    .enablePositionalOptions()
    .configureOutput({ writeOut: cli.terminal.print, writeErr: cli.terminal.say })
    .exitOverride()
    .addHelpText(
      'after',
      `
Start here:
  tideway dev --demo       see it work on this machine, then clean up
  tideway dev              the same stack, left running to play with
  tideway ctl get all      what is declared, and in which state

Each command explains itself: tideway COMMAND --help`,
    )
  for (const { name, summary, create } of commands) {
    const command =
      name === wanted ? (await create(cli)).summary(summary) : new Command(name).description(summary)
    root.addCommand(inherit(command, root))
  }
  return root
}

/** Subcommands made elsewhere take over how errors are shown and how the program ends. */
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent)
  for (const child of command.commands) inherit(child, command)
  return command
}
