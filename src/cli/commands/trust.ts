import { X509Certificate } from 'node:crypto'
import { Command } from 'commander'
import type { RunFacts } from '#daemon/program'
import type { Cli } from './cli.ts'
import { askDaemon, findRunDir } from './daemon-socket.ts'
import { requireRoot } from './require-root.ts'

async function factsOf(runDir: string): Promise<RunFacts> {
  return await askDaemon<RunFacts>(runDir, 'GET', '/run')
}

async function showBundle({ terminal }: Cli, runDir: string): Promise<void> {
  const { trustEnvironment } = await import('#daemon/program')
  const { trustBundle } = await factsOf(runDir)
  terminal.say(`# ${trustBundle} holds this host's roots and the daemon's intercept root`)
  for (const [name, value] of Object.entries(trustEnvironment(trustBundle)))
    terminal.print(`export ${name}='${value}'`)
}

const advice = {
  trusts: () => 'trusts it as it is',
  'with-variable': (variable: string) => `trusts it with ${variable} set ('tideway trust bundle' prints all)`,
  refuses: () => 'REFUSES it, also with its variable set',
  absent: () => 'not on this host',
}

/** As wide as the longest advice with the longest variable. */
const foundWidth = advice['with-variable']('NODE_EXTRA_CA_CERTS').length + 3

async function check({ terminal, env, signal, setExitCode }: Cli, runDir: string): Promise<void> {
  const { checkTrust } = await import('#daemon/program')
  const { trustBundle: bundle } = await factsOf(runDir)
  const target = await askDaemon<{ host: string; port: number }>(runDir, 'POST', '/trust-listener')
  // Line by line: what is compiled for the check may take a minute.
  const row = (runtime: string, found: string, why: string) =>
    terminal.print(`${runtime.padEnd(10)}${found.padEnd(foundWidth)}${why}`.trimEnd())
  row('RUNTIME', 'INTERCEPT CA', 'WHY')
  for await (const { runtime, outcome, variable, message } of checkTrust({ target, bundle, env, signal })) {
    row(runtime, advice[outcome](variable), message)
    if (outcome === 'refuses') setExitCode(1)
  }
}

export function trustCommand(cli: Cli): Command {
  const { terminal, env } = cli
  const command = new Command('trust').description(
    'Show, check and change who on this node trusts the CA with which the daemon intercepts TLS',
  )
  const verb = (name: string, description: string, act: (runDir: string) => Promise<void>) =>
    command
      .command(name)
      .description(description)
      .option('--run-dir <DIR>', 'run directory of the daemon')
      .action(({ runDir }: { runDir?: string }) => act(findRunDir(runDir, env)))
  verb('bundle', 'Print the variables that make runtimes trust the bundle with the intercept CA', (runDir) =>
    showBundle(cli, runDir),
  )
  verb(
    'check',
    'Really connect with OpenSSL, curl, Python, Node.js and Go, and say which of them trust it',
    (runDir) => check(cli, runDir),
  )
  verb('install', "Add the intercept CA to this host's own store (needs root)", async (runDir) => {
    requireRoot('trust install')
    const { findStore, installRoot } = await import('#daemon/program')
    const { interceptRootPem } = await factsOf(runDir)
    const file = await installRoot(new X509Certificate(interceptRootPem), await findStore())
    terminal.print(`added to the store of this host as ${file}; 'tideway trust uninstall' takes it out again`)
  })
  verb('uninstall', "Take the intercept CA out of this host's store (needs root)", async () => {
    requireRoot('trust uninstall')
    const { findStore, uninstallRoot } = await import('#daemon/program')
    const removed = await uninstallRoot(await findStore())
    terminal.print(removed ? 'taken out of the store of this host' : 'it was not in the store of this host')
  })
  return command
}
