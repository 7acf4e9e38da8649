import { homedir } from 'node:os'
import path from 'node:path'
import { parse, stringify } from 'yaml'
import { Fault } from '#base/errors'
import { contextsOf, execUser, kubeconfigEntries, type Context, type Kubeconfig } from './kubeconfig.ts'
import { removeLogin } from './login-file.ts'
import { readPrivateFile, writePrivateFile } from './private-file.ts'

export interface ContextFile {
  readonly current?: string
  readonly contexts: readonly Context[]
}

/** `$TIDEWAY_CONTEXTS`, else `$XDG_CONFIG_HOME/tideway/contexts.yaml`, else `~/.config/tideway/contexts.yaml`. */
export function contextFilePath(env: NodeJS.ProcessEnv): string {
  if (env['TIDEWAY_CONTEXTS']) return env['TIDEWAY_CONTEXTS']
  return path.join(env['XDG_CONFIG_HOME'] ?? path.join(homedir(), '.config'), 'tideway', 'contexts.yaml')
}

const empty: Kubeconfig = { apiVersion: 'v1', kind: 'Config', clusters: [], users: [], contexts: [] }

function load(file: string): { config: Kubeconfig; contexts: Context[] } {
  const text = readPrivateFile(file, 'context file')
  if (text === undefined) return { config: empty, contexts: [] }
  const read = contextsOf(parsed(text))
  if (read) return read
  throw new Fault('SETTING_INVALID', `context file ${file} is damaged`, {
    hint: 'it should hold a kubeconfig: kind Config, with clusters, users and contexts',
  })
}

// SECURITY: what the parser says of a broken file quotes it, tokens included; so it is not passed on.
function parsed(text: string): unknown {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}

/** The contexts of a file, which is a kubeconfig; none when it does not exist. @throws Fault SETTING_INVALID */
export function loadContexts(file: string): ContextFile {
  const { config, contexts } = load(file)
  const current = config['current-context']
  return { ...(current !== undefined && current !== '' && { current }), contexts }
}

function store(file: string, config: Kubeconfig, current: string | undefined): void {
  const { 'current-context': _, ...rest } = config
  writePrivateFile(file, stringify({ ...rest, ...(current !== undefined && { 'current-context': current }) }))
}

const without = <T extends { readonly name: string }>(items: readonly T[], name: string) =>
  items.filter((item) => item.name !== name)

function withoutContext(config: Kubeconfig, name: string): Kubeconfig {
  const { clusters, users, contexts } = config
  return {
    ...config,
    clusters: without(clusters, name),
    users: without(users, name),
    contexts: without(contexts, name),
  }
}

/**
 * Adds or replaces a context; it becomes the current one when `makeCurrent` or when there was none. Without a token
 * it is one where somebody logs in.
 */
export function saveContext(file: string, context: Context, { makeCurrent }: { makeCurrent: boolean }): void {
  const { config } = load(file)
  const { name, token } = context
  const others = withoutContext(config, name)
  const added = kubeconfigEntries(context, token === undefined ? execUser(name, file) : { token })
  const next = {
    ...others,
    clusters: [...others.clusters, added.cluster],
    users: [...others.users, added.user],
    contexts: [...others.contexts, added.context],
  }
  store(file, next, makeCurrent ? name : (config['current-context'] ?? name))
}

/** `wanted`, or it with a number where it is the context of another server, whose token may be nowhere else. */
export function contextNameFor(
  file: string,
  wanted: string,
  { server, caPem }: Pick<Context, 'server' | 'caPem'>,
): string {
  const { contexts } = load(file)
  const isAnothers = (name: string) =>
    contexts.some(
      (context) => context.name === name && (context.server !== server || context.caPem !== caPem),
    )
  let name = wanted
  for (let number = 2; isAnothers(name); number++) name = `${wanted}-${number}`
  return name
}

/** Removes a context, and the login that it had. @throws Fault CONTEXT_MISSING */
export function removeContext(file: string, name: string): void {
  const { config, contexts } = load(file)
  if (!contexts.some((context) => context.name === name)) throw noSuchContext(name, contexts)
  const current = config['current-context']
  store(file, withoutContext(config, name), current === name ? undefined : current)
  removeLogin(file, name)
}

/** Makes a context the current one. @throws Fault CONTEXT_MISSING */
export function useContext(file: string, name: string): void {
  const { config, contexts } = load(file)
  if (!contexts.some((context) => context.name === name)) throw noSuchContext(name, contexts)
  store(file, config, name)
}

function noSuchContext(name: string, contexts: readonly Context[]): Fault {
  return new Fault('CONTEXT_MISSING', `no context is named ${JSON.stringify(name)}`, {
    hint:
      contexts.length > 0
        ? `there are: ${contexts.map((context) => context.name).join(', ')}`
        : 'there is none yet',
  })
}

/** The context named, or the current one. @throws Fault CONTEXT_MISSING */
export function selectContext(file: string, name?: string): Context {
  const { current, contexts } = loadContexts(file)
  const wanted = name ?? current
  if (wanted === undefined) {
    throw new Fault('CONTEXT_MISSING', 'no context is set', {
      hint: "start 'tideway dev' or 'tideway server' (both write one), or run 'tideway context add'",
    })
  }
  const found = contexts.find((context) => context.name === wanted)
  if (!found) throw noSuchContext(wanted, contexts)
  return found
}
