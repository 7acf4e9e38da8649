import { Fault, isFault, type FaultKind } from '#base/errors'
import { findKind, kinds, type Kind, type KindDefinition } from '#model/resource'
import { renderFault } from '#cli/output'
import type { Cli } from './cli.ts'
import { readManifests, type Manifest } from './manifests.ts'

export interface Place {
  namespace?: string
}
export interface FileOptions extends Place {
  filename?: string[]
  recursive?: boolean
}

/** What `KIND NAME`, `KIND/NAME` and `KIND,KIND` on the command line mean. */
export interface Selection {
  readonly definition: KindDefinition<Kind>
  /** Absent: all objects of the kind. */
  readonly name?: string
}

/** @throws Fault SETTING_INVALID, KIND_UNKNOWN */
export function selectionsOf(words: readonly string[]): Selection[] {
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
  const definitions =
    first === 'all'
      ? kinds.filter(({ categories }) => categories?.includes('all'))
      : first.split(',').map(findKind)
  if (names.length > 0 && definitions.length > 1) {
    throw new Fault('SETTING_INVALID', 'names can be given for one kind only')
  }
  return definitions.flatMap((definition) =>
    names.length === 0 ? [{ definition }] : names.map((name) => ({ definition, name })),
  )
}

/** Selections from the command line, or those that the objects of files make: each is read when it is asked for. */
export async function chosen(
  { readInput }: Cli,
  words: readonly string[],
  { filename, recursive, namespace: place }: FileOptions,
): Promise<readonly (() => Selection & Place)[]> {
  if (!filename) return selectionsOf(words).map((selection) => () => selection)
  if (words.length > 0) throw new Fault('SETTING_INVALID', 'give either names or files, not both')
  return (await readManifests(filename, { readInput, recursive })).map((manifest) => () => {
    const { draft, definition } = readFor(manifest, place)
    const { name, namespace } = draft.metadata
    return { definition, name, ...(namespace !== undefined && { namespace }) }
  })
}

/** The object of a manifest, meant for `namespace` when that was given. @throws Fault RESOURCE_INVALID */
export function readFor(manifest: Manifest, namespace: string | undefined): ReturnType<Manifest['read']> {
  const valid = manifest.read()
  const own = valid.draft.metadata.namespace
  if (namespace === undefined || own === undefined || own === namespace) return valid
  throw manifest.blame(
    new Fault('RESOURCE_INVALID', `its namespace is ${own}, and --namespace says ${namespace}`),
  )
}

// What is wrong with one object; anything else is wrong for all that follow as well.
const ownFailures: ReadonlySet<FaultKind> = new Set(['invalid', 'forbidden', 'not-found', 'conflict'])

/** Acts on each in order. A failure of one is said and does not keep the others from being done; the exit code is 1. */
export async function actOnEach<T>(
  { terminal, setExitCode }: Cli,
  items: readonly T[],
  act: (item: T) => Promise<void>,
): Promise<void> {
  for (const item of items) {
    try {
      await act(item)
    } catch (error) {
      if (!isFault(error) || !ownFailures.has(error.kind)) throw error
      terminal.say(renderFault(error))
      setExitCode(1)
    }
  }
}
