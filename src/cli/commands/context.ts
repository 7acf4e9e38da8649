import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { Fault } from '#base/errors'
import {
  contextFilePath,
  fetchServerCa,
  loadContexts,
  openFetch,
  removeContext,
  saveContext,
  selectContext,
  useContext,
  type Context,
} from '#cli/context'
import { formatTable } from '#cli/output'
import type { Cli } from './cli.ts'

interface AddOptions {
  url: string
  tokenFile: string
  caFile?: string
  caHash?: string
  name?: string
}

async function addContext(
  { terminal, env, signal, readInput }: Cli,
  name: string | undefined,
  { url, tokenFile, caFile, caHash }: AddOptions,
): Promise<void> {
  const { protocol, origin: server, hostname } = URL.parse(url) ?? {}
  // SECURITY: anything but HTTPS would show the token to whoever is in between.
  if (server === undefined || hostname === undefined || protocol !== 'https:')
    throw new Fault('SETTING_INVALID', '--url: an https:// URL is expected')
  if (caFile !== undefined && caHash !== undefined)
    throw new Fault('SETTING_INVALID', 'give either --ca-file or --ca-hash, not both')
  const token = (tokenFile === '-' ? await readInput() : readOption('--token-file', tokenFile)).trim()
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new Fault('SETTING_INVALID', `--token-file: there is no token in ${tokenFile}`)
  const caPem =
    caFile !== undefined
      ? readOption('--ca-file', caFile)
      : caHash !== undefined
        ? await fetchServerCa(server, caHash)
        : undefined
  const context = { name: name ?? hostname, server, token, ...(caPem !== undefined && { caPem }) }
  await checkAccess(context, signal)
  saveContext(contextFilePath(env), context, { makeCurrent: true })
  terminal.say(`context "${context.name}" added and made current`)
}

function readOption(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${option}: ${(error as Error).message}`, { cause: error })
  }
}

/** Asks the server for something that needs the token, so that a wrong one is found now. */
async function checkAccess({ server, token, caPem }: Context, signal: AbortSignal): Promise<void> {
  const response = await openFetch({ caPem, signal })(`${server}/apis`, {
    headers: { authorization: `Bearer ${token}` },
  })
  await response.body?.cancel()
  if (response.status === 401) throw new Fault('API_UNAUTHENTICATED', `${server} does not accept this token`)
  if (!response.ok) throw new Fault('SERVER_UNREACHABLE', `${server} answers with status ${response.status}`)
}

export function contextCommand(cli: Cli): Command {
  const { terminal, env, signal } = cli
  const command = new Command('context').description('Choose the control plane that commands speak to')
  command
    .command('add [NAME]')
    .description('Add a control plane, check access to it, and make it current')
    .requiredOption('--url <URL>', "the server's HTTPS address, such as https://tideway.example.org:8443")
    .requiredOption('--token-file <FILE>', 'file with the bearer token (- reads standard input)')
    .option('--ca-file <FILE>', "PEM of the CA that signs the server's certificate, unless a public CA does")
    .option('--ca-hash <HASH>', 'instead of --ca-file: sha256:... as the server printed it at start')
    .action((name: string | undefined, options: AddOptions) => addContext(cli, name, options))
  command
    .command('use <NAME>')
    .description('Make a context current')
    .action((name: string) => {
      useContext(contextFilePath(env), name)
      terminal.say(`current context is "${name}"`)
    })
  command
    .command('list')
    .description('List the contexts')
    .action(() => {
      const { current, contexts } = loadContexts(contextFilePath(env))
      const rows = contexts.map(({ name, server }) => [name === current ? '*' : '', name, server])
      terminal.print(formatTable(['CURRENT', 'NAME', 'SERVER'], rows))
    })
  command
    .command('current')
    .description('Print the name of the current context')
    .action(() => terminal.print(selectContext(contextFilePath(env)).name))
  command
    .command('status')
    .description('Check that the current control plane can be reached and accepts our token')
    .action(async () => {
      const context = selectContext(contextFilePath(env))
      await checkAccess(context, signal)
      terminal.print(`${context.name}: ${context.server} is reachable and accepts the token`)
    })
  command
    .command('remove <NAME>')
    .description('Forget a context')
    .action((name: string) => {
      removeContext(contextFilePath(env), name)
      terminal.say(`context "${name}" removed`)
    })
  return command
}
