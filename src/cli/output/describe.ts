import { shownLines } from './shown.ts'
import { formatTable } from './table.ts'

/** Nested values in the manner of YAML, values in one column; keys as they stand in files. */
function lines(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item) => {
      if (typeof item !== 'object' || item === null) return [`${indent}- ${String(item)}`]
      const [first = '', ...rest] = lines(item, `${indent}  `)
      return [`${indent}- ${first.trimStart()}`, ...rest]
    })
  }
  const entries = Object.entries(value as Record<string, unknown>).filter(([, item]) => item !== undefined)
  const width = Math.max(0, ...entries.map(([key]) => key.length)) + 2
  return entries.flatMap(([key, item]) => {
    const label = `${key}:`
    if (typeof item !== 'object' || item === null) return [`${indent}${label.padEnd(width)}${String(item)}`]
    const nested = lines(item, `${indent}  `)
    return nested.length === 0 ? [`${indent}${label.padEnd(width)}<none>`] : [`${indent}${label}`, ...nested]
  })
}

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

/** Conditions as rows: what each says is what one looks for. */
function conditionLines(conditions: readonly Condition[]): string {
  const rows = conditions.map(({ type, status, reason, message }) => [type, status, reason, message])
  return formatTable(['TYPE', 'STATUS', 'REASON', 'MESSAGE'], rows).replaceAll(/^/gm, '  ')
}

interface Describable {
  apiVersion: string
  kind: string
  metadata: Record<string, unknown>
  spec?: unknown
  status?: object | undefined
}

/** An object for people: its name and STATE first, then everything it holds. */
export function describeObject({ apiVersion, kind, metadata, spec, status, ...rest }: Describable): string {
  // Who owns which field is for machines, and longer than all the rest.
  const { name, namespace, labels, annotations, managedFields: _, ...bookkeeping } = metadata
  const { state, message, updateAt, conditions, ...moreStatus } = (status ?? {}) as Record<string, unknown>
  const head: [string, unknown][] = [
    ['NAME', name],
    ['NAMESPACE', namespace],
    ['KIND', `${kind} (${apiVersion})`],
    ['STATE', state],
    ['MESSAGE', message],
    ['UPDATED', updateAt],
  ]
  const sections: [string, unknown][] = [
    ['LABELS', labels],
    ['ANNOTATIONS', annotations],
    ['SPEC', spec],
    ['STATUS', Object.keys(moreStatus).length > 0 ? moreStatus : undefined],
    ...Object.entries(rest).map(([key, value]): [string, unknown] => [key.toUpperCase(), value]),
    ['METADATA', bookkeeping],
  ]
  const observed = (conditions as readonly Condition[] | undefined) ?? []
  const text = [
    ...head
      .filter(([, value]) => value !== undefined)
      .map(([label, value]) => `${`${label}:`.padEnd(12)}${String(value)}`),
    ...sections
      .filter(([, value]) => value !== undefined)
      .flatMap(([label, value]) =>
        typeof value === 'object' && value !== null
          ? ['', `${label}:`, ...lines(value, '  ')]
          : ['', `${label}: ${String(value)}`],
      ),
    ...(observed.length > 0 ? ['', 'CONDITIONS:', conditionLines(observed)] : []),
  ].join('\n')
  return shownLines(text)
}
