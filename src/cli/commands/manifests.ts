import { isUtf8, type Buffer } from 'node:buffer'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import {
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Document,
  type Node,
} from 'yaml'
import { Fault, isFault } from '#base/errors'
import { expectResource, fieldErrorsOf } from '#model/resource'

/** One object of a file, not validated yet. */
export interface Manifest {
  /** @throws Fault RESOURCE_INVALID that names file, document and line */
  read(): ReturnType<typeof expectResource>
  /** What went wrong with the object elsewhere, with the same names. */
  blame(error: unknown): unknown
}

/** YAML 1.2 or JSON, several documents, each on its own; empty ones are skipped and `List` objects unfolded. */
function parseManifests(file: string, content: Buffer): Manifest[] {
  // Read as UTF-8 all the same, an object would be kept with other characters than were written.
  if (!isUtf8(content)) return [unreadable(`${file}: it is not UTF-8 text`)]
  const lines = new LineCounter()
  const documents = parseAllDocuments(content.toString(), { lineCounter: lines, stringKeys: true })
  if ('empty' in documents) return []
  const lineAt = (offset: number) => lines.linePos(offset).line
  return documents.flatMap((document, at) => {
    const source = documents.length === 1 ? file : `${file}, document ${at + 1}`
    const place = (line: number) => `${source}, line ${line}`
    const [error] = document.errors
    if (error) {
      const { line, col } = error.linePos?.[0] ?? lines.linePos(error.pos[0])
      const [first = ''] = error.message.split('\n')
      const what = error.code === 'NON_STRING_KEY' ? 'each key must be a string' : first
      return [unreadable(`${place(line)}, column ${col}: ${what.replace(/ at line \d+, column \d+:?$/, '')}`)]
    }
    const { contents } = document
    if (!contents || (isScalar(contents) && contents.value === null)) return []
    return objectsIn(contents).map((node) => manifestOf(document, node, (at) => place(lineAt(at))))
  })
}

const unreadable = (message: string): Manifest => ({
  read() {
    throw new Fault('RESOURCE_INVALID', message)
  },
  blame: (error) => error,
})

/** The document itself, or the items of a `List`. */
function objectsIn(contents: Node): readonly Node[] {
  if (!isMap(contents) || contents.get('kind') !== 'List') return [contents]
  const items = contents.get('items', true) as unknown
  return isSeq(items) ? items.items.filter(isNode) : [contents]
}

function manifestOf(document: Document, node: Node, place: (offset: number) => string): Manifest {
  const blame = (error: unknown): unknown => {
    if (!isFault(error)) return error
    const { code, message, hint } = error
    const [first] = fieldErrorsOf(error)
    const where = place(offsetOf(node, first?.field ?? ''))
    return new Fault(code, `${where}: ${message}`, { cause: error, ...(hint !== undefined && { hint }) })
  }
  return {
    blame,
    read() {
      try {
        if (!isMap(node))
          throw new Fault('RESOURCE_INVALID', 'an object with apiVersion and kind is expected')
        return expectResource(valueOf(document, node))
      } catch (error) {
        throw blame(error)
      }
    },
  }
}

function valueOf(document: Document, node: Node): unknown {
  try {
    return node.toJS(document)
  } catch (error) {
    // Such as more aliases than a file for people has.
    throw new Fault('RESOURCE_INVALID', (error as Error).message, { cause: error })
  }
}

/** Where a field such as `spec.addresses[0].port` stands in the text; of one that is missing, where it should. */
function offsetOf(root: Node, field: string): number {
  let offset = root.range?.[0] ?? 0
  let node: unknown = root
  for (const [, name, key] of field.matchAll(/([A-Za-z_][\w-]*)|\[([^\]]*)\]/g)) {
    const step = name ?? key!
    if (isSeq(node)) {
      node = node.items[Number(step)]
      if (isNode(node)) offset = node.range?.[0] ?? offset
    } else if (isMap(node)) {
      const pair = node.items.find((item) => String(item.key) === step)
      if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset
      node = pair?.value
    } else break
  }
  return offset
}

/** Reads with `read` what `-f` led to. @throws Fault SETTING_INVALID */
function reading<T>(given: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const absent = `the path ${JSON.stringify(given)} does not exist`
    throw new Fault('SETTING_INVALID', code === 'ENOENT' ? absent : message, { cause: error })
  }
}

function filesOf(given: string, recursive: boolean): string[] {
  if (!reading(given, () => statSync(given)).isDirectory()) return [given]
  return reading(given, () => readdirSync(given, { recursive, encoding: 'utf8' }))
    .filter((name) => /\.(ya?ml|json)$/.test(name))
    .sort()
    .map((name) => path.join(given, name))
}

const parseFile = (file: string) =>
  parseManifests(
    file,
    reading(file, () => readFileSync(file)),
  )

/**
 * Reads what `-f` names, in order: files, directories (their .yaml, .yml and .json files), `-` for standard input.
 * Objects that cannot be read are among them, and say so when they are.
 */
export async function readManifests(
  given: readonly string[],
  { readInput, recursive = false }: { readInput: () => Promise<Buffer>; recursive?: boolean | undefined },
): Promise<readonly Manifest[]> {
  const manifests: Manifest[] = []
  for (const name of given) {
    if (name === '-') manifests.push(...parseManifests('standard input', await readInput()))
    else manifests.push(...filesOf(name, recursive).flatMap(parseFile))
  }
  if (manifests.length === 0) throw new Fault('SETTING_INVALID', `no objects found in ${given.join(', ')}`)
  return manifests
}
