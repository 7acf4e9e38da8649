import { spawn, type SpawnOptions } from 'node:child_process'
import { text as readAll } from 'node:stream/consumers'

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end with `input` on its standard input. */
export async function runCommand(
  [file, ...args]: readonly string[],
  { input = '', ...options }: Omit<SpawnOptions, 'stdio'> & { input?: string } = {},
): Promise<Result> {
  const child = spawn(file!, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  const [stdout, stderr, code] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended])
  return { code, stdout, stderr }
}

/** The same, and what it printed. @throws Error with the program's own words when it fails */
export async function mustRun(...[command, options]: Parameters<typeof runCommand>): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, options)
  if (code === 0) return stdout
  throw new Error(
    `${command.slice(0, 4).join(' ')} ended with ${code}: ${stderr.slice(-2000)}${stdout.slice(-500)}`,
  )
}
