import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { parse, stringify } from 'yaml'
import { Fault, isFault } from '#base/errors'

/** One control plane as seen from here. `token` is a bearer token: the file is readable by its owner only. */
export interface Context {
  readonly name: string
  /** Base URL of the HTTPS port, without a trailing slash. */
  readonly server: string
  readonly token: string
  /** PEM of the CA that signs the server's certificate; absent when a public CA does. */
  readonly caPem?: string
}

export interface ContextFile {
  readonly current?: string
  readonly contexts: readonly Context[]
}

/** `$TIDEWAY_CONTEXTS`, else `$XDG_CONFIG_HOME/tideway/contexts.yaml`, else `~/.config/tideway/contexts.yaml`. */
export function contextFilePath(env: NodeJS.ProcessEnv): string {
  if (env['TIDEWAY_CONTEXTS']) return env['TIDEWAY_CONTEXTS']
  return path.join(env['XDG_CONFIG_HOME'] ?? path.join(homedir(), '.config'), 'tideway', 'contexts.yaml')
}

function isContext(value: unknown): value is Context {
  const { name, server, token, caPem } = (value ?? {}) as Record<string, unknown>
  const texts = [name, server, token].every((text) => typeof text === 'string' && text !== '')
  return texts && (caPem === undefined || typeof caPem === 'string')
}

/** The contexts of a file; none when it does not exist. @throws Fault SETTING_INVALID */
export function loadContexts(file: string): ContextFile {
  let text: string
  try {
    if (statSync(file).mode & 0o077) {
      // SECURITY: a bearer token that others could read is no longer only ours.
      throw new Fault('SETTING_INVALID', `context file ${file} can be read by others`, {
        hint: `chmod 600 ${file}, and replace the tokens in it`,
      })
    }
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { contexts: [] }
    if (isFault(error)) throw error
    const message = `context file ${file} cannot be read: ${(error as Error).message}`
    throw new Fault('SETTING_INVALID', message, { cause: error })
  }
  const value = parsed(text)
  if (!value || !Array.isArray(value.contexts) || !value.contexts.every(isContext)) {
    throw new Fault('SETTING_INVALID', `context file ${file} is damaged`, {
      hint: "it should hold 'current' and 'contexts', each context with name, server and token",
    })
  }
  return value as ContextFile
}

// SECURITY: what the parser says of a broken file quotes it, tokens included; so it is not passed on.
function parsed(text: string): Partial<ContextFile> | undefined {
  try {
    return (parse(text) as Partial<ContextFile> | null) ?? undefined
  } catch {
    return undefined
  }
}

/** Replaces the file at once, so that a reader sees the old or the new one, and a crash leaves one of them. */
function store(file: string, content: ContextFile): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}.new`
  const descriptor = openSync(draft, 'wx', 0o600)
  try {
    writeSync(descriptor, stringify(content))
    fsyncSync(descriptor)
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}

/** Adds or replaces a context; it becomes the current one when `makeCurrent` or when there was none. */
export function saveContext(file: string, context: Context, { makeCurrent }: { makeCurrent: boolean }): void {
  const { current, contexts } = loadContexts(file)
  const others = contexts.filter(({ name }) => name !== context.name)
  store(file, {
    current: makeCurrent || current === undefined ? context.name : current,
    contexts: [...others, context],
  })
}

/** Removes a context. @throws Fault CONTEXT_MISSING */
export function removeContext(file: string, name: string): void {
  const { current, contexts } = loadContexts(file)
  const others = contexts.filter((context) => context.name !== name)
  if (others.length === contexts.length) throw noSuchContext(name, contexts)
  store(file, { ...(current !== undefined && current !== name && { current }), contexts: others })
}

/** Makes a context the current one. @throws Fault CONTEXT_MISSING */
export function useContext(file: string, name: string): void {
  const { contexts } = loadContexts(file)
  if (!contexts.some((context) => context.name === name)) throw noSuchContext(name, contexts)
  store(file, { current: name, contexts })
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
