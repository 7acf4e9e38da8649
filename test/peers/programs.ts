// Current releases of the clients that people use, installed from their registries and built here.
import { chmodSync, cpSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { mustRun } from '../rgw/command.ts'

export interface Programs {
  /** Interpreter of a virtual environment with boto3; `aws` of that release lies beside it. */
  readonly python: string
  /** The program of go/main.go. */
  readonly go: string
  /** Class path of java/Peer.java. */
  readonly java: string
}

export const sources = import.meta.dirname

async function installPython(folder: string): Promise<string> {
  const python = path.join(folder, 'python/bin/python')
  if (!existsSync(path.join(folder, 'python/bin/aws'))) {
    await mustRun(['/usr/bin/python3', '-m', 'venv', path.join(folder, 'python')])
    await mustRun([python, '-m', 'pip', '--quiet', 'install', '--upgrade', 'boto3', 'awscli'])
  }
  return python
}

async function buildGo(folder: string, name: string): Promise<string> {
  const cwd = path.join(folder, name)
  cpSync(path.join(sources, name), cwd, { recursive: true })
  // The newest releases: a module that names none asks for those.
  if (!existsSync(path.join(cwd, 'go.mod'))) {
    await mustRun(['go', 'mod', 'init', 'peers'], { cwd })
    await mustRun(['go', 'mod', 'tidy'], { cwd })
  }
  await mustRun(['go', 'build', '-o', 'peer', '.'], { cwd })
  return path.join(cwd, 'peer')
}

async function buildJava(folder: string): Promise<string> {
  const cwd = path.join(folder, 'java')
  cpSync(path.join(sources, 'java'), cwd, { recursive: true })
  await mustRun(['mvn', '-q', '-B', 'package', 'dependency:copy-dependencies'], { cwd })
  return [...globSync('target/*.jar', { cwd }), ...globSync('target/dependency/*.jar', { cwd })]
    .map((jar) => path.join(cwd, jar))
    .join(':')
}

/** $TIDEWAY_PEERS, which is kept and used again, or a temporary folder. */
function openFolder(): string {
  const kept = process.env['TIDEWAY_PEERS']
  const folder = kept ?? mkdtempSync(path.join(tmpdir(), 'tideway-peers-'))
  if (kept === undefined) process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(folder, { recursive: true })
  // Workloads of other users execute what is in it.
  chmodSync(folder, 0o755)
  return folder
}

/** Needs the network, pip, Go and Maven. */
export async function installPrograms(): Promise<Programs> {
  const folder = openFolder()
  return {
    python: await installPython(folder),
    go: await buildGo(folder, 'go'),
    java: await buildJava(folder),
  }
}

/** The newest kubectl. Needs the network and Go. */
export function buildKubectl(): Promise<string> {
  return buildGo(openFolder(), 'kubectl')
}
