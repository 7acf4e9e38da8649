// What of an answer may be compared with that of another server.
import type { Answer } from './http.ts'

/** What an answer says, without what no two servers say alike. */
export interface Normal {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

export function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const compared = ['content-type', 'warning', 'allow', 'retry-after']

export function normal({ status, headers, text }: Answer): Normal {
  const said = compared.flatMap((name) => (headers[name] ? [[name, spelling(headers[name].join(', '))]] : []))
  return { status, headers: Object.fromEntries(said), body: plain(bodyOf(text)) }
}

function bodyOf(text: string): unknown {
  const lines = text.trimEnd().split('\n').map(readJson)
  const isEvent = (line: unknown) => isNode(line) && 'object' in line
  return lines.every(isEvent) ? lines : (readJson(text) ?? (text === '' ? undefined : text))
}

const spelling = (text: string) => texts(text).replaceAll('; ', ';').replace(';charset=utf-8', '')

function texts(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '(uid)')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '(time)')
    .replaceAll(/current: \d+/g, 'current: (version)')
    .replaceAll(/(generated-)[a-z0-9]{5}\b/g, '$1(random)')
}

type Node = Readonly<Record<string, unknown>>
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null

const opaque: ReadonlySet<string> = new Set(['resourceVersion', 'uid', 'continue'])

function plain(value: unknown, key = ''): unknown {
  if (typeof value === 'string') return opaque.has(key) && value !== '' ? `(${key})` : texts(value)
  if (Array.isArray(value)) {
    const items = value.map((item) => plain(item))
    // Within one second their order says nothing.
    if (key === 'managedFields') return items.toSorted(byManager)
    return key === 'causes' ? items.toSorted(byField) : items
  }
  if (!isNode(value)) return value
  const { kind } = value
  if (kind === 'Table') return plainFields({ ...value, columnDefinitions: columns(value), rows: rows(value) })
  return plainFields(value)
}

/** Fields that are as much there as not are left out. */
function plainFields(node: Node): Node {
  const { apiVersion } = node
  const isCustom = typeof apiVersion !== 'string' || apiVersion.includes('.riptides.io/')
  const said = Object.entries(node).filter(
    ([name, item]) =>
      !(name === 'status' && isFirstStatus(item)) &&
      !(name === 'details' && JSON.stringify(item) === '{}') &&
      !(name === 'continue' && item === ''),
  )
  return Object.fromEntries(
    said.map(([name, item]) => [name, plain(name === 'metadata' && !isCustom ? counted(item) : item, name)]),
  )
}

/** Kinds of Kubernetes itself do not count their generations; all of ours do. */
const counted = (metadata: unknown) => (isNode(metadata) ? { ...metadata, generation: undefined } : metadata)

/** Ours have a status from their first moment, so that nobody takes them for what needs none. */
const isFirstStatus = (status: unknown) =>
  isNode(status) && String(status['message']).startsWith('just made, and not looked at yet')

/** Programs that print tables write the heads in capitals, and what a column means is for each to say. */
const columns = ({ columnDefinitions }: Node) =>
  (columnDefinitions as readonly Node[]).map(({ name, type, format, priority }) => ({
    name: String(name).toUpperCase(),
    type,
    format,
    priority,
  }))

const rows = ({ rows }: Node) => (rows as readonly Node[]).map((row) => ({ ...row, cells: cells(row) }))

const cells = ({ cells }: Node) =>
  (cells as readonly unknown[]).map((cell) => {
    // As kubectl prints it.
    if (cell === null) return '<none>'
    return typeof cell === 'string' && /^(?:\d+[smhd])+$/.test(cell) ? '(age)' : cell
  })

const managerOf = (entry: unknown) => {
  const { manager, operation, subresource } = entry as Node
  return JSON.stringify([manager, operation, subresource])
}
/** Theirs come in the order of a map of Go. */
const causeOf = (cause: unknown) => {
  const { field, message } = cause as Node
  return JSON.stringify([field, message])
}
const byField = (a: unknown, b: unknown) => (causeOf(a) < causeOf(b) ? -1 : 1)
const byManager = (a: unknown, b: unknown) => (managerOf(a) < managerOf(b) ? -1 : 1)

export interface Difference {
  readonly path: string
  readonly ours: unknown
  readonly theirs: unknown
}

/** What is refused as malformed is so in the words of each: theirs name the types of Go, and quote the request. */
const inOwnWords: ReadonlySet<number> = new Set([400, 406, 413, 415, 422])

/** Where our answer is not as theirs. */
export function differences(ours: Normal, theirs: Normal): Difference[] {
  const { status } = ours
  if (status !== theirs.status) {
    const summary = ({ status, body }: Normal) => ({
      status,
      message: (body as Node | undefined)?.['message'],
    })
    return [{ path: 'status', ours: summary(ours), theirs: summary(theirs) }]
  }
  // What it has no handler for it answers in plain text.
  if (status === 404 && typeof theirs.body === 'string') return []
  return compare(ours, theirs, '').filter(({ path, theirs }) => {
    if (status < 400) return true
    const isMore = path.startsWith('body.details') && theirs === undefined
    const isText = /^body\.(?:message$|details\.causes\.\d+\.message$)/.test(path)
    return !isMore && !(isText && inOwnWords.has(status))
  })
}

function compare(ours: unknown, theirs: unknown, path: string): Difference[] {
  if (isNode(ours) && isNode(theirs) && Array.isArray(ours) === Array.isArray(theirs)) {
    const names = new Set([...Object.keys(ours), ...Object.keys(theirs)])
    return [...names].flatMap((name) =>
      compare(ours[name], theirs[name], path === '' ? name : `${path}.${name}`),
    )
  }
  return Object.is(ours, theirs) ? [] : [{ path, ours, theirs }]
}
