import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { stringify } from 'yaml'
import { Fault } from '#base/errors'
import {
  bearerToken,
  contextFilePath,
  execUser,
  fetchServerCa,
  kubeconfigOf,
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
import { login, logout, printCredential } from './login.ts'

interface AddOptions {
  url: string
  tokenFile?: string
  device?: boolean
  caFile?: string
  caHash?: string
  name?: string
}

async function addContext(cli: Cli, name: string | undefined, options: AddOptions): Promise<void> {
  const { terminal, env, readInput } = cli
  const { url, tokenFile, caFile, caHash, device } = options
  const { protocol, origin: server, hostname } = URL.parse(url) ?? {}
  // SECURITY: anything but HTTPS would show the token to whoever is in between.
  if (server === undefined || hostname === undefined || protocol !== 'https:')
    throw new Fault('SETTING_INVALID', '--url: an https:// URL is expected')
  if (caFile !== undefined && caHash !== undefined)
    throw new Fault('SETTING_INVALID', 'give either --ca-file or --ca-hash, not both')
  if (tokenFile !== undefined && device)
    throw new Fault('SETTING_INVALID', 'give either --token-file or --device, not both')
  const caPem =
    caFile !== undefined
      ? readOption('--ca-file', caFile)
      : caHash !== undefined
        ? await fetchServerCa(server, caHash)
        : undefined
  const place = { name: name ?? hostname, server, ...(caPem !== undefined && { caPem }) }
  if (tokenFile === undefined) await login(cli, place, options)
  else {
    const token = (
      tokenFile === '-' ? String(await readInput()) : readOption('--token-file', tokenFile)
    ).trim()
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new Fault('SETTING_INVALID', `--token-file: there is no token in ${tokenFile}`)
    const context = { ...place, token }
    await checkAccess(cli, context)
    saveContext(contextFilePath(env), context, { makeCurrent: true })
  }
  terminal.say(`context "${place.name}" added and made current`)
}

function readOption(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${option}: ${(error as Error).message}`, { cause: error })
  }
}

/** Asks the server for something that needs the token, so that a wrong one is found now. */
async function checkAccess({ env, clock, signal }: Cli, context: Context): Promise<void> {
  const { server, caPem } = context
  const { token } = await bearerToken(context, { contextsFile: contextFilePath(env), clock, signal })
  const response = await openFetch({ caPem, signal })(`${server}/apis`, {
    headers: { authorization: `Bearer ${token}` },
  })
  await response.body?.cancel()
  if (response.status === 401) throw new Fault('API_UNAUTHENTICATED', `${server} does not accept this token`)
  if (!response.ok) throw new Fault('SERVER_UNREACHABLE', `${server} answers with status ${response.status}`)
}

export function contextCommand(cli: Cli): Command {
  const { terminal, env } = cli
  const command = new Command('context').description('Choose the control plane that commands speak to')
  command
    .command('add [NAME]')
    .description('Add a control plane, check access to it, and make it current')
    .requiredOption('--url <URL>', "the server's HTTPS address, such as https://tideway.example.org:8443")
    .option('--token-file <FILE>', 'file with a bearer token (- reads standard input); without it you log in')
    .option('--device', 'log in with a browser on another device')
    .option('--ca-file <FILE>', "PEM of the CA that signs the server's certificate, unless a public CA does")
    .option('--ca-hash <HASH>', 'instead of --ca-file: sha256:... as the server printed it at start')
    .action((name: string | undefined, options: AddOptions) => addContext(cli, name, options))
  command
    .command('login [NAME]')
    .description("Log in at the control plane's identity provider; the context has its tokens from there on")
    .option('--device', 'with a browser on another device')
    .action(async (name: string | undefined, options: { device?: boolean }) => {
      const { token: _, ...place } = selectContext(contextFilePath(env), name)
      await login(cli, place, options)
    })
  command
    .command('logout [NAME]')
    .description('Forget the login of a context, and end it at the identity provider')
    .action((name: string | undefined) => logout(cli, selectContext(contextFilePath(env), name)))
  command
    .command('kubeconfig [NAME]')
    .description(
      'Print a kubeconfig for a context; there is no secret in it, for kubectl asks this program for tokens',
    )
    .action((name: string | undefined) => {
      const file = contextFilePath(env)
      const context = selectContext(file, name)
      terminal.print(stringify(kubeconfigOf(context, execUser(context.name, file))))
    })
  command
    .command('credential [NAME]')
    .description('Print the token of a context, in the form that kubectl expects of its credential plugins')
    .action((name: string | undefined) => printCredential(cli, selectContext(contextFilePath(env), name)))
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
      await checkAccess(cli, context)
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
