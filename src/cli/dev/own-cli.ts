import { spawn } from 'node:child_process'
import { text as readAll } from 'node:stream/consumers'
import { ownCommand } from './child.ts'

export interface CliResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs `tideway ARGS` as a user would, with `input` on its standard input, and returns what it printed. */
export async function runOwnCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input = '',
): Promise<CliResult> {
  const [command, commandArgs] = ownCommand(args)
  const child = spawn(command, commandArgs, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  const [stdout, stderr, code] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended])
  return { code, stdout, stderr }
}
