import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A module by its URL, and its text as JavaScript. */
export type Sources = ReadonlyMap<string, string>

const tree = new URL('../../', import.meta.url)
/** With those that this process was itself started with (bin/without-types.js). */
const known = new Map<string, string>(
  Reflect.get(globalThis, Symbol.for('tideway.sources')) as Sources | undefined,
)

/** What a module of ours imports from us: its own folder by path, others by their face. */
function importsOf(url: string, source: string): string[] {
  const found = source.matchAll(/^(?:import|export)(?:[\s\w$*{},]* from)? '([.#][^']*)'/gm)
  return Array.from(found, ([, name = '']) =>
    name.startsWith('#') ? new URL(`${name.slice(1)}/index.ts`, tree).href : new URL(name, url).href,
  )
}

/**
 * Every TypeScript module of ours that `entry` reaches by static imports, without its types. Who would strip them
 * itself holds 20 MiB for the stripper. Empty for a program that is JavaScript already.
 */
export function javascriptOf(entry: URL): Sources {
  const reached = new Map<string, string>()
  const pending = [entry.href]
  for (let url = pending.pop(); url !== undefined; url = pending.pop()) {
    if (reached.has(url) || !url.endsWith('.ts')) continue
    const source = known.get(url) ?? stripTypeScriptTypes(readFileSync(fileURLToPath(url), 'utf8'))
    known.set(url, source)
    reached.set(url, source)
    pending.push(...importsOf(url, source))
  }
  return reached
}

/** Gives a process that was started with it the modules that come over its standard input. */
export const takesSources = `
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
const sources = new Map(JSON.parse(readFileSync(0, 'utf8')))
registerHooks({
  load(url, context, next) {
    const source = sources.get(url)
    if (source === undefined) return next(url, context)
    sources.delete(url)
    return { format: 'module', source, shortCircuit: true }
  },
})`
