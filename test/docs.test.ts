import assert from 'node:assert/strict'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { Command } from 'commander'
import { systemClock } from '#base/clock'
import { readSettingsFile, resolveSettings, type SettingSpec } from '#base/settings'
import { openTerminal } from '#cli/output'
import { daemonSettings } from '#daemon/program'
import { serverSettings } from '#server/program'
import { metricsPage, resourcesPage } from '../docs/generate.ts'
import { commands } from '../src/cli/commands/all.ts'
import type { Cli } from '../src/cli/commands/cli.ts'
import { commandsIn, type ShellCommand } from './docs-commands.ts'

const root = path.resolve(import.meta.dirname, '..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')
const ours = { cwd: root, exclude: ['node_modules/**'] }
const pages = globSync('**/*.md', ours).sort()

test('the generated pages are what the program knows', () => {
  assert.equal(read('docs/resources.md'), resourcesPage(), 'docs/resources.md is old: npm run docs')
  assert.equal(read('docs/metrics.md'), metricsPage(), 'docs/metrics.md is old: npm run docs')
})

test('every relative link leads somewhere', () => {
  const dead = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target]) => target!)
      .filter((target) => !/^(https?:|#)/.test(target))
      .filter((target) => !existsSync(path.join(root, path.dirname(page), target.split('#')[0]!)))
      .map((target) => `${page}: ${target}`),
  )
  assert.deepEqual(dead, [])
})

test('every file that a page names in code is there', () => {
  const named = /`((?:src|test|docs|deploy|examples|native|bench|bin)\/[\w./-]+)`/g
  const missing = pages.flatMap((page) =>
    [...read(page).matchAll(named)]
      .map(([, file]) => file!)
      .filter(
        (file) =>
          !existsSync(path.join(root, file)) && !existsSync(path.join(root, path.dirname(page), file)),
      )
      .map((file) => `${page}: ${file}`),
  )
  assert.deepEqual(missing, [])
})

test('each row of the threat model names at least one test', () => {
  const rows = [...read('docs/threat-model.md').matchAll(/^\| \*\*.*\|$/gm)].map(([row]) => row)
  assert.ok(rows.length >= 8)
  for (const row of rows) assert.match(row, /`[\w./-]+\.test\.ts`/, row.slice(0, 60))
})

/** What rows of a table show by: a file in code, then beginnings of names in it, quoted; `…` stands for what varies. */
function namedTests(row: string): { file: string; name: string }[] {
  let file = ''
  return [...row.matchAll(/`([\w./-]+\.test\.ts)`|"([^"]+)"/g)].flatMap(([, path, name]) => {
    if (path !== undefined) file = path.includes('/') ? path : `src/daemon/outbound/${path}`
    return name === undefined ? [] : [{ file, name }]
  })
}

/** Whether a text of the file begins with that name. */
function hasTest({ file, name }: { file: string; name: string }): boolean {
  const pattern = RegExp.escape(name).replaceAll('…', '\\$\\{[^}]*\\}')
  return existsSync(path.join(root, file)) && new RegExp(`['"\`]${pattern}`).test(read(file))
}

test('each row on requests and attacks names tests that exist', () => {
  const lines = read('docs/data-plane.md').split('\n')
  const isRule = (line = '') => line.startsWith('| --')
  const rows = lines.filter((line, at) => line.startsWith('|') && !isRule(line) && !isRule(lines[at + 1]))
  assert.ok(rows.length > 80, `only ${rows.length} were found`)
  for (const row of rows) {
    const named = namedTests(row)
    assert.notEqual(named.length, 0, row)
    assert.deepEqual(
      named.filter((item) => !hasTest(item)),
      [],
    )
  }
})

test('a test that is not there would be found', () => {
  for (const row of [
    '`smuggling.test.ts` "CL.TE.CL"',
    '`no.test.ts` "CL.TE"',
    '`bounds.test.ts` "a … resets the flooder"',
  ])
    assert.deepEqual(namedTests(row).filter(hasTest), [], row)
})

const terminal = openTerminal()

/** The whole command tree, in which every command does nothing; `record` hears what was parsed. */
async function commandTree(record: (name: string) => void): Promise<Command> {
  const cli: Cli = {
    terminal,
    env: {},
    clock: systemClock,
    readInput: async () => Buffer.alloc(0),
    signal: new AbortController().signal,
    setExitCode() {},
  }
  const tree = new Command('tideway').version('0').enablePositionalOptions()
  for (const { create } of commands) tree.addCommand(await create(cli))
  const silence = (command: Command, above: string): void => {
    const name = `${above} ${command.name()}`.trim()
    command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} })
    if (command.commands.length === 0) command.action(() => record(name))
    for (const child of command.commands) silence(child, name)
  }
  silence(tree, '')
  return tree
}

async function parses({ args }: ShellCommand): Promise<string | undefined> {
  let parsed: string | undefined
  const tree = await commandTree((name) => (parsed = name))
  let at: Command | undefined = tree
  for (const arg of args) at = at?.commands.find((child) => child.name() === arg)
  // The mere name of a group, as in "see `tideway ctl`".
  if (at !== undefined) return undefined
  try {
    await tree.parseAsync([...args], { from: 'user' })
    return parsed === undefined ? 'nothing would run' : undefined
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    return code === 'commander.helpDisplayed' || code === 'commander.version' ? undefined : message
  }
}

test('every command line of ours in pages, examples and units is one', async () => {
  const files = [...pages, ...globSync(['examples/**/*.yaml', 'deploy/*'], ours)]
  const found = files.flatMap((file) => commandsIn(read(file), { file }))
  assert.ok(found.length > 60, `only ${found.length} were found`)
  const wrong: string[] = []
  for (const command of found) {
    const problem = await parses(command)
    if (problem !== undefined) wrong.push(`${command.file}: ${command.text}: ${problem}`)
  }
  assert.deepEqual(wrong, [])
})

test('a wrong option or command in a page would be found', async () => {
  for (const text of [
    '`tideway ctl aply -f x`',
    '`tideway run --proxy -- x`',
    '`tideway setup aws --x`',
    '`tideway x`',
  ]) {
    const [command] = commandsIn(text, { file: '' })
    assert.ok(command && (await parses(command)), text)
  }
})

test('every command, argument and option says what it does', async () => {
  const silent: string[] = []
  const look = (command: Command, above: string): void => {
    const name = `${above} ${command.name()}`.trim()
    if (command.description() === '') silent.push(name)
    for (const option of command.options.filter(({ hidden }) => !hidden))
      if (!option.description) silent.push(`${name} ${option.flags}`)
    for (const child of command.commands) look(child, name)
  }
  for (const child of (await commandTree(() => {})).commands) look(child, '')
  assert.deepEqual(silent, [])
})

for (const [program, specs] of [
  ['server', serverSettings],
  ['daemon', daemonSettings],
] as const) {
  const file = path.join(root, `examples/${program}.yaml`)
  const text = readFileSync(file, 'utf8')
  const table: Readonly<Record<string, SettingSpec<unknown>>> = specs

  test(`examples/${program}.yaml has every setting, and what it sets are the defaults`, async () => {
    const keys = [...text.matchAll(/^#?([a-z]\w*):/gm)].map(([, key]) => key!)
    assert.deepEqual([...keys].sort(), Object.keys(table).sort())
    const given = await readSettingsFile(file)
    assert.deepEqual(resolveSettings(table, { file: given }), resolveSettings(table, {}))
  })

  test(`examples/${program}.yaml loads with every line in force`, async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'tideway-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const full = path.join(folder, 'settings.yaml')
    writeFileSync(full, text.replaceAll(/^#([a-z]\w*:)/gm, '$1'))
    assert.equal(typeof resolveSettings(table, { file: await readSettingsFile(full) }), 'object')
  })

  test(`the unit of the ${program} starts it with these settings`, () => {
    const unit = read(`deploy/tideway-${program}.service`)
    assert.match(
      unit,
      new RegExp(
        `^ExecStart=/opt/tideway/bin/tideway ${program} --settings /etc/tideway/${program}.yaml$`,
        'm',
      ),
    )
    for (const [, name] of unit.matchAll(/^Environment=TIDEWAY_(\w+)=/gm)) {
      const key = name!.toLowerCase().replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
      assert.ok(key === 'contexts' || Object.hasOwn(table, key), key)
    }
  })
}
