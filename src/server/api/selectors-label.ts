import { badRequest } from './status.ts'

/** Whether an object with these labels is meant. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean

const requirement =
  /\s*(?:!\s*(?<absent>[\w./-]+)|(?<key>[\w./-]+)(?:\s(?<set>in|notin)\s*\((?<values>[^()]*)\)|\s*(?<operator>==?|!=|>|<)\s*(?<value>[\w.-]*))?)\s*(?<end>,|$)/y
const name = /^[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/
const prefix = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

/** Of the labels themselves: what every JavaScript object has besides is none. */
function valueOf(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined
}

function checkKey(key: string): string {
  const parts = key.split('/')
  const valid =
    name.test(parts.at(-1)!) && (parts.length === 1 || (parts.length === 2 && prefix.test(parts[0]!)))
  if (!valid) throw badRequest(`labelSelector: ${JSON.stringify(key)} is not the key of a label`)
  return key
}

function checkValue(value: string): string {
  if (value === '' || name.test(value)) return value
  throw badRequest(`labelSelector: ${JSON.stringify(value)} is not the value of a label`)
}

/** Compares as integers, which both must be. */
function comparing(key: string, operator: string, text: string): LabelSelector {
  if (!/^-?\d{1,15}$/.test(text)) throw badRequest(`labelSelector: ${operator} needs an integer`)
  const bound = Number(text)
  return (labels) => {
    const value = valueOf(labels, key) ?? ''
    return /^-?\d{1,15}$/.test(value) && (operator === '>' ? Number(value) > bound : Number(value) < bound)
  }
}

function readRequirement(groups: Readonly<Record<string, string | undefined>>): LabelSelector {
  const { absent, set, values = '', operator, value = '' } = groups
  if (absent !== undefined) {
    checkKey(absent)
    return (labels) => valueOf(labels, absent) === undefined
  }
  const key = checkKey(groups['key']!)
  if (operator === '>' || operator === '<') return comparing(key, operator, value)
  if (operator === undefined && set === undefined) return (labels) => valueOf(labels, key) !== undefined
  const among = set === undefined ? [value] : values.split(',').map((one) => one.trim())
  const known = new Set(among.map(checkValue))
  const isAmong = (labels: Readonly<Record<string, string>>) => {
    const value = valueOf(labels, key)
    return value !== undefined && known.has(value)
  }
  // What is not there is in no set.
  return operator === '!=' || set === 'notin' ? (labels) => !isAmong(labels) : isAmong
}

/**
 * Reads a label selector in Kubernetes' grammar: requirements with commas between them, which must all hold: `a`,
 * `!a`, `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a>1`, `a<1`.
 * @throws RequestRefusal 400
 */
export function parseLabelSelector(selector: string): LabelSelector {
  // SECURITY: the expression below goes back over blanks, again for each of them.
  const text = selector.replaceAll(/\s+/g, ' ')
  if (text.trim() === '') return () => true
  const requirements: LabelSelector[] = []
  let at = 0
  for (;;) {
    requirement.lastIndex = at
    const { groups, 0: matched } = requirement.exec(text) ?? {}
    if (!groups) throw badRequest(`labelSelector: cannot read ${JSON.stringify(text.slice(at, at + 100))}`)
    requirements.push(readRequirement(groups))
    if (groups['end'] === '') return (labels) => requirements.every((holds) => holds(labels))
    at += matched!.length
  }
}
