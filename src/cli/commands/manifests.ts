import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { parseAllDocuments, type Document } from 'yaml'
import { Fault } from '#base/errors'

/** One document of a file, not validated yet. */
export interface Manifest {
  /** Where it came from, for messages: `app.yaml` or `app.yaml document 2`. */
  readonly source: string
  readonly value: Record<string, unknown>
}

/** YAML 1.2 or JSON, several documents; empty documents are skipped and `List` objects unfolded. */
function parseManifests(source: string, content: string): Manifest[] {
  const documents = parseAllDocuments(content)
  if ('empty' in documents) return []
  return documents.flatMap((document, at) => {
    const place = documents.length === 1 ? source : `${source} document ${at + 1}`
    const [error] = document.errors
    if (error)
      throw new Fault('RESOURCE_INVALID', `${place}: ${error.message.split('\n')[0]!.replace(/:$/, '')}`, {
        cause: error,
      })
    const value = valueOf(document, place)
    if (value === null) return []
    if (typeof value !== 'object' || Array.isArray(value)) {
      throw new Fault('RESOURCE_INVALID', `${place}: an object with apiVersion and kind is expected`)
    }
    const { kind, items } = value as { kind?: unknown; items?: unknown }
    const objects = kind === 'List' && Array.isArray(items) ? (items as unknown[]) : [value]
    return objects.map((object) => ({ source: place, value: object as Record<string, unknown> }))
  })
}

function valueOf(document: Document.Parsed, place: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    // Such as more aliases than a file for people has.
    throw new Fault('RESOURCE_INVALID', `${place}: ${(error as Error).message}`, { cause: error })
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${file}: ${(error as Error).message}`, { cause: error })
  }
}

function filesOf(given: string): string[] {
  let isDirectory: boolean
  try {
    isDirectory = statSync(given).isDirectory()
  } catch (error) {
    throw new Fault('SETTING_INVALID', `the path ${JSON.stringify(given)} does not exist`, { cause: error })
  }
  if (!isDirectory) return [given]
  const names = readdirSync(given).filter((name) => /\.(ya?ml|json)$/.test(name))
  return names.sort().map((name) => path.join(given, name))
}

/** Reads what `-f` names, in order: files, directories (their .yaml, .yml and .json files), `-` for standard input. */
export async function readManifests(
  given: readonly string[],
  readInput: () => Promise<string>,
): Promise<readonly Manifest[]> {
  const manifests: Manifest[] = []
  for (const name of given) {
    if (name === '-') manifests.push(...parseManifests('standard input', await readInput()))
    else for (const file of filesOf(name)) manifests.push(...parseManifests(file, readText(file)))
  }
  if (manifests.length === 0) throw new Fault('SETTING_INVALID', `no objects found in ${given.join(', ')}`)
  return manifests
}
