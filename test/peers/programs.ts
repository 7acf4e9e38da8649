// Current releases of the clients that people use, installed from their registries and built here.
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
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

/** The interpreter of an environment that has these packages. */
async function installPython(folder: string, name: string, packages: readonly string[]): Promise<string> {
  const python = path.join(folder, name, 'bin/python')
  const done = path.join(folder, name, 'installed')
  if (!existsSync(done)) {
    await mustRun(['/usr/bin/python3', '-m', 'venv', path.join(folder, name)])
    await mustRun([python, '-m', 'pip', '--quiet', 'install', '--upgrade', ...packages])
    writeFileSync(done, packages.join('\n'))
  }
  return python
}

/** With `modules` at the versions that they name, and the newest releases of all others. */
async function buildGo(folder: string, name: string, modules: readonly string[] = []): Promise<string> {
  const cwd = path.join(folder, name)
  cpSync(path.join(sources, name), cwd, { recursive: true })
  if (!existsSync(path.join(cwd, 'go.mod'))) {
    await mustRun(['go', 'mod', 'init', 'peers'], { cwd })
    if (modules.length > 0) await mustRun(['go', 'get', ...modules], { cwd })
  }
  await mustRun(['go', 'mod', 'tidy'], { cwd })
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
    python: await installPython(folder, 'python', ['boto3', 'awscli']),
    go: await buildGo(folder, 'go'),
    java: await buildJava(folder),
  }
}

/** The newest kubectl. Needs the network and Go. */
export function buildKubectl(): Promise<string> {
  return buildGo(openFolder(), 'kubectl')
}

/** The program of client-go/. Needs the network and Go. */
export function buildClientGo(): Promise<string> {
  return buildGo(openFolder(), 'client-go')
}

/** An interpreter with the Kubernetes client. Needs the network and pip. */
export function installKubernetesClient(): Promise<string> {
  return installPython(openFolder(), 'kubernetes-python', ['kubernetes'])
}

/** The program of gitops/, on the newest release of Flux's library that Go 1.26 builds. Needs the network and Go. */
export function buildGitops(): Promise<string> {
  return buildGo(openFolder(), 'gitops', ['github.com/fluxcd/pkg/ssa@v0.78.0'])
}

/** kubelogin. Needs the network and Go, unless it is in the folder that is kept. */
export async function installKubelogin(): Promise<string> {
  const folder = path.join(openFolder(), 'kubelogin')
  const program = path.join(folder, 'kubelogin')
  const env = { ...process.env, GOBIN: folder }
  if (!existsSync(program)) await mustRun(['go', 'install', 'github.com/int128/kubelogin@latest'], { env })
  return program
}

/** An interpreter with moto. Needs the network and pip. */
export function installMoto(): Promise<string> {
  return installPython(openFolder(), 'moto-python', ['moto[server,dynamodb,iam]'])
}

export interface KubernetesPrograms {
  readonly apiserver: string
  readonly etcd: string
}

const kubernetes = 'k8s.io/kubernetes@v1.36.3'
/** The version of all modules that lie in the repository of Kubernetes, and are released with it. */
const staging = 'v0.36.3'

/** kube-apiserver and an etcd for it, or those of $TIDEWAY_KUBERNETES. Needs the network, Go and 4 GB of disk. */
export async function buildKubernetes(): Promise<KubernetesPrograms> {
  const given = process.env['TIDEWAY_KUBERNETES']
  const folder = given ?? path.join(openFolder(), 'kubernetes')
  const programs = { apiserver: path.join(folder, 'kube-apiserver'), etcd: path.join(folder, 'etcd') }
  if (given !== undefined || (existsSync(programs.apiserver) && existsSync(programs.etcd))) return programs
  const cwd = path.join(folder, 'module')
  mkdirSync(cwd, { recursive: true })
  const { GoMod } = JSON.parse(await mustRun(['go', 'mod', 'download', '-json', kubernetes], { cwd })) as {
    GoMod: string
  }
  const staged = readFileSync(GoMod, 'utf8').matchAll(/^\s*(k8s\.io\/\S+) => \.\/staging\//gm)
  const replaced = [...staged].map(([, module]) => `replace ${module} => ${module} ${staging}`)
  const imports = ['k8s.io/kubernetes/cmd/kube-apiserver', 'go.etcd.io/etcd/server/v3']
  writeFileSync(
    path.join(cwd, 'go.mod'),
    ['module peers', 'go 1.26.0', `require ${kubernetes.replace('@', ' ')}`, ...replaced].join('\n'),
  )
  const named = imports.map((name) => `import _ "${name}"`)
  writeFileSync(
    path.join(cwd, 'programs.go'),
    ['//go:build programs', '', 'package peers', ...named].join('\n'),
  )
  await mustRun(['go', 'mod', 'tidy'], { cwd })
  for (const [index, out] of [programs.apiserver, programs.etcd].entries())
    await mustRun(['go', 'build', '-ldflags=-s -w', '-o', out, imports[index]!], { cwd })
  return programs
}
