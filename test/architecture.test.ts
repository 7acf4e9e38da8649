import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

/** Import only from tiers to the left, or from siblings of the same tier. Programs never import one another. */
const tiers = ['base', 'wire', 'model', 'client', 'server', 'daemon', 'emulator', 'cli'] as const
const programs = ['server', 'daemon', 'emulator']
const forbiddenNames = ['utils', 'common', 'helpers', 'shared', 'lib', 'core', 'misc']
/** The model turns values into values: of Node it may use only these, of zlib its check sum. */
const pureModules = ['node:crypto', 'node:buffer', 'node:zlib']

const root = path.resolve(import.meta.dirname, '..')
const sources = globSync('src/**/*.ts', { cwd: root }).filter((file) => !file.includes('/generated/'))
const isTest = (file: string) => /\.test\.ts$|\/(contract|fixture)\.ts$/.test(file)

interface Import {
  specifier: string
  typeOnly: boolean
  dynamic: boolean
}

function importsOf(file: string): Import[] {
  const text = readFileSync(path.join(root, file), 'utf8')
  const found: Import[] = []
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s)?[^'"()]*?from\s+['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[2]!, typeOnly: match[1] !== undefined, dynamic: false })
  }
  for (const match of text.matchAll(/^\s*import\s+['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[1]!, typeOnly: false, dynamic: false })
  }
  for (const match of text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)) {
    found.push({ specifier: match[1]!, typeOnly: false, dynamic: true })
  }
  return found
}

function placeOf(file: string): { tier: string; domain: string } {
  const [, tier, domain] = file.split('/')
  return { tier: tier!, domain: domain! }
}

/** The file that an import names, for imports within the project. */
function resolve(file: string, { specifier }: Import): string | undefined {
  if (specifier.startsWith('#')) return `src/${specifier.slice(1)}/index.ts`
  if (specifier.startsWith('.')) return path.normalize(path.join(path.dirname(file), specifier))
  return undefined
}

function violations(): string[] {
  const found: string[] = []
  for (const file of sources) {
    const { tier, domain } = placeOf(file)
    for (const imported of importsOf(file)) {
      const { specifier, dynamic, typeOnly } = imported
      const say = (rule: string) => found.push(`${file} imports ${specifier}: ${rule}`)
      if (specifier.startsWith('node:') && (tier === 'model' || tier === 'wire')) {
        if (!isTest(file) && !pureModules.includes(specifier)) say(`${tier} does no I/O`)
      }
      if (specifier.startsWith('.')) {
        const target = placeOf(resolve(file, imported)!)
        if (target.tier !== tier || target.domain !== domain)
          say('other folders are reached by their face only')
      }
      if (!specifier.startsWith('#')) continue
      const [theirTier, theirDomain] = specifier.slice(1).split('/') as [string, string]
      if (!existsSync(path.join(root, resolve(file, imported)!))) say('no such face')
      if (theirTier === tier) continue
      if (tiers.indexOf(theirTier as never) > tiers.indexOf(tier as never))
        say('imports point down the tiers')
      if (programs.includes(tier) && programs.includes(theirTier)) say('programs never import one another')
      if (
        tier === 'cli' &&
        programs.includes(theirTier) &&
        // Types are gone when the program runs.
        !((dynamic || typeOnly) && theirDomain === 'program') &&
        !isTest(file)
      ) {
        say('the CLI reaches programs only by dynamic import of their program')
      }
    }
  }
  return found
}

/** Every file that loading `entry` can load, by static and dynamic imports; type imports are erased. */
function reach(entry: string): Map<string, string> {
  const cameFrom = new Map([[entry, '']])
  for (const file of cameFrom.keys()) {
    if (!file.endsWith('.ts')) continue
    for (const imported of importsOf(file)) {
      const target = imported.typeOnly ? undefined : resolve(file, imported)
      if (target && !cameFrom.has(target) && existsSync(path.join(root, target))) cameFrom.set(target, file)
    }
  }
  return cameFrom
}

test('imports follow the tiers and go through faces', () => {
  assert.deepEqual(violations(), [])
})

test('every file lies in a domain of a known tier, and no folder has a catch-all name', () => {
  for (const file of sources) {
    const { tier } = placeOf(file)
    assert.ok(tiers.includes(tier as never), `${file}: unknown tier`)
    assert.ok(file.split('/').length >= 4, `${file} lies directly in a tier`)
    for (const part of file.split('/'))
      assert.ok(!forbiddenNames.includes(part), `${file}: folder named ${part}`)
  }
})

test('every domain has a face that opens with its purpose', () => {
  const domains = new Set(sources.map((file) => file.split('/').slice(0, 3).join('/')))
  for (const domain of domains) {
    const face = path.join(root, domain, 'index.ts')
    assert.ok(existsSync(face), `${domain} has no index.ts`)
    assert.match(
      readFileSync(face, 'utf8'),
      /^\/\*\*\n \* \S/,
      `${domain}/index.ts does not open with a doc comment`,
    )
  }
})

test('the program on the node contains nothing of the server, the emulator or the resource kinds', () => {
  for (const [file, from] of reach('bin/tidewayd.ts')) {
    assert.doesNotMatch(
      file,
      /^src\/(server|emulator|client|cli)\/|^src\/model\/resource\//,
      `${file}, imported by ${from}`,
    )
  }
})
