import { spawn } from 'node:child_process'
import {
  bearerToken,
  contextFilePath,
  endLogin,
  fetchLoginClient,
  loadLogin,
  loginByBrowser,
  loginByDevice,
  removeLogin,
  saveContext,
  saveLogin,
  type Context,
} from '#cli/context'
import { Fault } from '#base/errors'
import { formatSeconds } from '#model/resource'
import type { Cli } from './cli.ts'

/** The program that shows pages here: `$BROWSER`, or the desktop's own where there is a desktop. */
function browserOf({ env }: Cli): ((url: string) => void) | undefined {
  const desktop = env['DISPLAY'] !== undefined || env['WAYLAND_DISPLAY'] !== undefined
  const program = env['BROWSER'] ?? (desktop ? 'xdg-open' : undefined)
  if (program === undefined || program === '') return undefined
  return (url) => {
    // What it says is nobody's business here; without it, the URL is on the terminal.
    spawn(program, [url], { env, stdio: 'ignore', detached: true })
      .on('error', () => {})
      .unref()
  }
}

/** Logs somebody in to a context, which then has no token of its own. */
export async function login(cli: Cli, context: Omit<Context, 'token'>, { device = false }): Promise<void> {
  const { terminal, env, signal } = cli
  const client = await fetchLoginClient({ ...context, signal })
  const surroundings = { signal, say: terminal.say, openBrowser: browserOf(cli) }
  const given = await (device ? loginByDevice : loginByBrowser)(client, surroundings)
  const file = contextFilePath(env)
  const { name, server, caPem } = context
  saveLogin(file, name, given)
  saveContext(file, { name, server, ...(caPem !== undefined && { caPem }) }, { makeCurrent: true })
  terminal.say(`logged in at ${client.provider}`)
}

/** Logs out of a context, which stays: its login is forgotten here, and ended where it was given. */
export async function logout({ terminal, env, signal }: Cli, { name, token }: Context): Promise<void> {
  const file = contextFilePath(env)
  const known = loadLogin(file, name)
  if (!known) {
    const why = token === undefined ? 'nobody is logged in to it' : 'it has a token, not a login'
    throw new Fault('API_UNAUTHENTICATED', `context ${JSON.stringify(name)}: ${why}`, {
      ...(token !== undefined && { hint: `tideway context remove ${name} forgets the token` }),
    })
  }
  removeLogin(file, name)
  // SECURITY: forgotten here first: a provider that is out of reach keeps nobody logged in on this machine.
  const ended = await endLogin(known, signal)
  const left = ended ? 'its last token' : 'what was given out'
  terminal.say(`logged out of context "${name}"; ${left} holds until it expires`)
}

/**
 * Prints the token of a context as kubectl's credential plugins do (client.authentication.k8s.io), in the version
 * of the protocol that is asked for.
 */
export async function printCredential(cli: Cli, context: Context): Promise<void> {
  const { terminal, env, clock, signal } = cli
  const { token, expiresAt } = await bearerToken(context, {
    contextsFile: contextFilePath(env),
    clock,
    signal,
  })
  const version = /"client\.authentication\.k8s\.io\/(v1|v1beta1)"/.exec(
    env['KUBERNETES_EXEC_INFO'] ?? '',
  )?.[1]
  const status = {
    token,
    ...(expiresAt !== undefined && { expirationTimestamp: formatSeconds(expiresAt) }),
  }
  terminal.print(
    JSON.stringify({
      apiVersion: `client.authentication.k8s.io/${version ?? 'v1'}`,
      kind: 'ExecCredential',
      status,
    }),
  )
}
