import { Command } from 'commander'
import { Fault, isFault } from '#base/errors'
import {
  defaultNamespace,
  expectResource,
  findKind,
  kinds,
  type Kind,
  type KindDefinition,
  type Resource,
} from '#model/resource'
import { describeObject, formatTable } from '#cli/output'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'
import { readManifests } from './manifests.ts'
import { qualifiedName, renderObjects } from './print-objects.ts'

interface Place {
  namespace?: string
}
interface FileOptions extends Place {
  filename?: string[]
  dryRun?: boolean
}
interface GetOptions extends FileOptions {
  output?: string
  allNamespaces?: boolean
}

/** What `KIND NAME`, `KIND/NAME` and `KIND,KIND` on the command line mean. */
interface Selection {
  readonly definition: KindDefinition<Kind>
  /** Absent: all objects of the kind. */
  readonly name?: string
}

function selectionsOf(words: readonly string[]): Selection[] {
  const [first, ...names] = words
  if (first === undefined) throw new Fault('SETTING_INVALID', 'say which kind, or give a file with -f')
  if (first.includes('/')) {
    return words.map((word) => {
      const [kind, name, ...rest] = word.split('/')
      if (!kind || !name || rest.length > 0)
        throw new Fault('SETTING_INVALID', `${JSON.stringify(word)} is not KIND/NAME`)
      return { definition: findKind(kind), name }
    })
  }
  const definitions = first === 'all' ? kinds : first.split(',').map(findKind)
  if (names.length > 0 && definitions.length > 1) {
    throw new Fault('SETTING_INVALID', 'names can be given for one kind only')
  }
  return definitions.flatMap((definition) =>
    names.length === 0 ? [{ definition }] : names.map((name) => ({ definition, name })),
  )
}

/** Selections from the command line, or those that the objects of files make. */
async function chosen(
  words: readonly string[],
  { filename }: FileOptions,
): Promise<readonly (Selection & Place)[]> {
  if (!filename) return selectionsOf(words)
  if (words.length > 0) throw new Fault('SETTING_INVALID', 'give either names or files, not both')
  return (await readManifests(filename)).map(({ source, value }) => {
    const { draft, definition } = namingSource(source, () => expectResource(value))
    const { name, namespace } = draft.metadata
    return { definition, name, ...(namespace !== undefined && { namespace }) }
  })
}

/** A fault about an object of a file says which file and document it was. */
function namingSource<T>(source: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isFault(error)) throw error
    throw new Fault(error.code, `${source}: ${error.message}`, { cause: error })
  }
}

async function apply(cli: Cli, { filename, namespace, dryRun }: FileOptions): Promise<void> {
  const api = openApi(cli, { namespace })
  // Every document is checked before the first is sent: half an application helps nobody.
  const drafts = (await readManifests(filename ?? [])).map(({ source, value }) => ({
    source,
    ...namingSource(source, () => expectResource(value)),
  }))
  for (const { draft, definition } of drafts) {
    const { verdict } = await api.apply(draft, { dryRun })
    cli.terminal.print(
      `${qualifiedName(definition, draft.metadata.name)} ${verdict}${dryRun ? ' (dry run)' : ''}`,
    )
  }
}

async function fetchSelected(
  cli: Cli,
  words: readonly string[],
  options: GetOptions,
): Promise<{ objects: Resource[]; single: boolean; qualified: boolean }> {
  const api = openApi(cli, options)
  const selections = await chosen(words, options)
  const objects: Resource[] = []
  for (const { definition, name, namespace } of selections) {
    if (name !== undefined) objects.push(await api.get(definition.kind, name, { namespace }))
    else objects.push(...(await api.list(definition.kind, { allNamespaces: options.allNamespaces })).items)
  }
  const kindsAsked = new Set(selections.map(({ definition }) => definition))
  return {
    objects,
    single: selections.length === 1 && selections[0]!.name !== undefined,
    qualified: kindsAsked.size > 1,
  }
}

async function get(cli: Cli, words: readonly string[], options: GetOptions): Promise<void> {
  const { objects, single, qualified } = await fetchSelected(cli, words, options)
  const { output } = options
  if (objects.length === 0 && (output === undefined || output === 'wide' || output === 'name')) {
    const where = options.allNamespaces ? '' : ` in ${options.namespace ?? defaultNamespace} namespace`
    cli.terminal.say(`No resources found${where}.`)
    return
  }
  cli.terminal.print(renderObjects(objects, { output, now: cli.clock.now(), single, qualified }))
}

async function describe(cli: Cli, words: readonly string[], options: GetOptions): Promise<void> {
  const { objects } = await fetchSelected(cli, words, options)
  if (objects.length === 0) cli.terminal.say('No resources found.')
  else cli.terminal.print(objects.map((object) => describeObject(object)).join('\n\n\n'))
}

async function remove(
  cli: Cli,
  words: readonly string[],
  { ignoreNotFound, ...options }: FileOptions & { ignoreNotFound?: boolean },
): Promise<void> {
  const api = openApi(cli, options)
  for (const { definition, name, namespace } of await chosen(words, options)) {
    if (name === undefined) {
      throw new Fault('SETTING_INVALID', `say which ${definition.singular} to delete`, {
        hint: 'everything of a kind is never deleted at once',
      })
    }
    try {
      await api.delete(definition.kind, name, { namespace, dryRun: options.dryRun })
      const [kind] = qualifiedName(definition, '').split('/')
      cli.terminal.print(`${kind} "${name}" deleted${options.dryRun ? ' (dry run)' : ''}`)
    } catch (error) {
      if (!(ignoreNotFound && isFault(error, 'RESOURCE_NOT_FOUND'))) throw error
    }
  }
}

async function wait(
  cli: Cli,
  words: readonly string[],
  options: Place & { for: string; timeout: string },
): Promise<void> {
  const api = openApi(cli, options)
  const seconds = /^(\d+)s?$/.exec(options.timeout)?.[1]
  if (seconds === undefined) throw new Fault('SETTING_INVALID', '--timeout: a number of seconds is expected')
  const expiry = AbortSignal.timeout(Number(seconds) * 1000)
  const signal = AbortSignal.any([cli.signal, expiry])
  for (const { definition, name } of selectionsOf(words)) {
    if (name === undefined) throw new Fault('SETTING_INVALID', 'say which object to wait for')
    const holds = (object: Resource | undefined) =>
      options.for === 'delete' ? object === undefined : stateOf(object) === options.for.replace(/^state=/, '')
    try {
      await api.waitFor(definition.kind, name, holds, { signal })
    } catch (error) {
      if (!expiry.aborted) throw error
      const now = await api.get(definition.kind, name).catch(() => undefined)
      throw new Fault(
        'SERVER_UNREACHABLE',
        `timed out waiting for ${options.for} on ${definition.plural}/${name}`,
        {
          hint: now
            ? `it is ${stateOf(now)}: ${(now as { status?: { message?: string } }).status?.message ?? ''}`
            : 'it does not exist',
          cause: error,
        },
      )
    }
    cli.terminal.print(`${qualifiedName(definition, name)} condition met`)
  }
}

/** The credential is the binding's own, so that is what can be rotated; requests go on with the old one meanwhile. */
async function rotate(cli: Cli, word: string, options: Place): Promise<void> {
  const [{ definition, name }] = selectionsOf([word]) as [Selection]
  if (definition.kind !== 'CredentialBinding' || name === undefined) {
    throw new Fault('SETTING_INVALID', 'only credentialbinding/NAME can be rotated')
  }
  await openApi(cli, options).rotateCredential(name)
  cli.terminal.print(`${qualifiedName(definition, name)} rotated`)
}

function stateOf(object: Resource | undefined): string | undefined {
  return (object as { status?: { state?: string } } | undefined)?.status?.state
}

export function ctlCommand(cli: Cli): Command {
  const command = new Command('ctl').description('Declare and inspect resources, in the manner of kubectl')
  const files = (verb: Command, required = false) => {
    const text = 'file, directory, or - for standard input; repeatable'
    const collect = (value: string, before: string[] = []) => [...before, value]
    return required
      ? verb.requiredOption('-f, --filename <FILE>', text, collect)
      : verb.option('-f, --filename <FILE>', text, collect)
  }
  const placed = (verb: Command) =>
    verb.option('-n, --namespace <NAME>', `namespace (default: ${defaultNamespace})`)
  const dry = (verb: Command) => verb.option('--dry-run', 'let the server check it, and change nothing')
  const subject = '[KIND[/NAME]] [NAME...]'

  dry(
    placed(
      files(
        command.command('apply').description('Create objects, or make them say what the files say'),
        true,
      ),
    ),
  ).action((options: FileOptions) => apply(cli, options))
  placed(
    files(
      command.command(`get ${subject}`).description('Show objects: KIND NAME, KIND/NAME, KIND,KIND or all'),
    ),
  )
    .option('-o, --output <FORMAT>', 'wide, yaml, json, name or jsonpath=TEMPLATE')
    .option('-A, --all-namespaces', 'of every namespace')
    .action((kind: string | undefined, names: string[], options: GetOptions) =>
      get(cli, [kind ?? [], names].flat(), options),
    )
  placed(files(command.command(`describe ${subject}`).description('Show all there is to know about objects')))
    .option('-A, --all-namespaces', 'of every namespace')
    .action((kind: string | undefined, names: string[], options: GetOptions) =>
      describe(cli, [kind ?? [], names].flat(), options),
    )
  dry(placed(files(command.command(`delete ${subject}`).description('Delete objects'))))
    .option('--ignore-not-found', 'it is no error when there is none')
    .action((kind: string | undefined, names: string[], options: FileOptions) =>
      remove(cli, [kind ?? [], names].flat(), options),
    )
  placed(
    command.command(`wait ${subject}`).description('Wait until objects have reached a state, or are gone'),
  )
    .requiredOption('--for <STATE>', 'a state such as OK or AVAILABLE, or delete')
    .option('--timeout <SECONDS>', 'how long', '30s')
    .action((kind: string | undefined, names: string[], options: Place & { for: string; timeout: string }) =>
      wait(cli, [kind ?? [], names].flat(), options),
    )
  placed(
    command.command('rotate <KIND/NAME>').description("Replace a CredentialBinding's credential now"),
  ).action((word: string, options: Place) => rotate(cli, word, options))
  command
    .command('kinds')
    .description('List the kinds of resources and their names')
    .action(() => {
      const rows = kinds.map(({ kind, plural, shortNames, apiVersion }) => [
        plural,
        shortNames.join(','),
        apiVersion,
        kind,
      ])
      cli.terminal.print(formatTable(['NAME', 'SHORT', 'API VERSION', 'KIND'], rows))
    })
  return command
}
