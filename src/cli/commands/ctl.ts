import { Command } from 'commander'
import { Fault, isFault } from '#base/errors'
import { defaultNamespace, kinds, type Resource } from '#model/resource'
import { describeObject, formatTable } from '#cli/output'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'
import { wait } from './ctl-wait.ts'
import { dryRunNotes, dryRunOption, foresee, type DryRun } from './dry-run.ts'
import { readManifests } from './manifests.ts'
import { qualifiedName, renderObjects } from './print-objects.ts'
import {
  actOnEach,
  chosen,
  readFor,
  selectionsOf,
  type FileOptions,
  type Place,
  type Selection,
} from './selection.ts'

interface GetOptions extends FileOptions {
  output?: string
  allNamespaces?: boolean
  showManagedFields?: boolean
}

async function apply(
  cli: Cli,
  { filename, recursive, namespace, dryRun }: FileOptions & { dryRun: DryRun },
): Promise<void> {
  const api = openApi(cli, { namespace })
  const { readInput } = cli
  const manifests = await readManifests(filename ?? [], { readInput, recursive })
  await actOnEach(cli, manifests, async (manifest) => {
    const { draft, definition } = readFor(manifest, namespace)
    const write = async () => (await api.apply(draft, { dryRun: dryRun === 'server' })).verdict
    const verdict = await (dryRun === 'client' ? foresee(api, draft) : write()).catch((error: unknown) => {
      throw manifest.blame(error)
    })
    cli.terminal.print(`${qualifiedName(definition, draft.metadata.name)} ${verdict}${dryRunNotes[dryRun]}`)
  })
}

async function fetchSelected(
  cli: Cli,
  words: readonly string[],
  options: GetOptions,
): Promise<{ objects: Resource[]; single: boolean; qualified: boolean }> {
  const api = openApi(cli, options)
  const selections = (await chosen(cli, words, options)).map((choose) => choose())
  if (options.allNamespaces && selections.some(({ name }) => name !== undefined)) {
    throw new Fault('SETTING_INVALID', 'an object cannot be named across all namespaces')
  }
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
  const { output, allNamespaces, showManagedFields: managedFields } = options
  if (objects.length === 0 && (output === undefined || output === 'wide' || output === 'name')) {
    const where = allNamespaces ? '' : ` in ${options.namespace ?? defaultNamespace} namespace`
    cli.terminal.say(`No resources found${where}.`)
    return
  }
  const now = cli.clock.now()
  const form = { output, now, single, qualified, managedFields, namespaced: allNamespaces }
  cli.terminal.print(renderObjects(objects, form))
}

async function describe(cli: Cli, words: readonly string[], options: GetOptions): Promise<void> {
  const { objects } = await fetchSelected(cli, words, options)
  if (objects.length === 0) cli.terminal.say('No resources found.')
  else cli.terminal.print(objects.map((object) => describeObject(object)).join('\n\n\n'))
}

async function remove(
  cli: Cli,
  words: readonly string[],
  { ignoreNotFound, dryRun, ...options }: FileOptions & { dryRun: DryRun; ignoreNotFound?: boolean },
): Promise<void> {
  const api = openApi(cli, options)
  if (!options.filename) {
    const unnamed = selectionsOf(words).find(({ name }) => name === undefined)
    if (unnamed) {
      throw new Fault('SETTING_INVALID', `say which ${unnamed.definition.singular} to delete`, {
        hint: 'everything of a kind is never deleted at once',
      })
    }
  }
  await actOnEach(cli, await chosen(cli, words, options), async (choose) => {
    const { definition, name = '', namespace } = choose()
    try {
      if (dryRun === 'client') await api.get(definition.kind, name, { namespace })
      else await api.delete(definition.kind, name, { namespace, dryRun: dryRun === 'server' })
      const [kind] = qualifiedName(definition, '').split('/')
      cli.terminal.print(`${kind} "${name}" deleted${dryRunNotes[dryRun]}`)
    } catch (error) {
      if (!(ignoreNotFound && isFault(error, 'RESOURCE_NOT_FOUND'))) throw error
    }
  })
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

export function ctlCommand(cli: Cli): Command {
  const command = new Command('ctl').description('Declare and inspect resources, in the manner of kubectl')
  const files = (verb: Command, required = false) => {
    const text = 'file, directory, or - for standard input; repeatable'
    const collect = (value: string, before: string[] = []) => [...before, value]
    const named = required
      ? verb.requiredOption('-f, --filename <FILE>', text, collect)
      : verb.option('-f, --filename <FILE>', text, collect)
    return named.option('-R, --recursive', 'directories with those in them')
  }
  const placed = (verb: Command) =>
    verb.option('-n, --namespace <NAME>', `namespace (default: ${defaultNamespace})`)
  const dry = (verb: Command) => verb.addOption(dryRunOption())
  const subject = '[KIND[/NAME]] [NAME...]'

  dry(
    placed(
      files(
        command.command('apply').description('Create objects, or make them say what the files say'),
        true,
      ),
    ),
  ).action((options: FileOptions & { dryRun: DryRun }) => apply(cli, options))
  placed(
    files(
      command.command(`get ${subject}`).description('Show objects: KIND NAME, KIND/NAME, KIND,KIND or all'),
    ),
  )
    .option('-o, --output <FORMAT>', 'wide, yaml, json, name or jsonpath=TEMPLATE')
    .option('-A, --all-namespaces', 'of every namespace')
    .option('--show-managed-fields', 'in yaml and json: who owns which field')
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
    .action((kind: string | undefined, names: string[], options: FileOptions & { dryRun: DryRun }) =>
      remove(cli, [kind ?? [], names].flat(), options),
    )
  placed(
    command.command(`wait ${subject}`).description('Wait until objects have reached a state, or are gone'),
  )
    .requiredOption('--for <STATE>', 'a state such as OK or AVAILABLE, condition=TYPE, or delete')
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
