import { Type, type Static } from 'typebox'
import type { SelectorMap } from '#model/scope'
import { at, forbidden, required, unknownField, type FieldError } from './field-error.ts'
import { list } from './schema.ts'

const value = Type.Union([Type.String({ maxLength: 4096 }), Type.Integer()])

/** A selector as written: numbers stand for their digits, a list means any of its values. */
const selector = Type.Record(
  Type.String(),
  Type.Union([value, Type.Array(value, { minItems: 1, maxItems: 1000 })], {
    description: 'The value that matches; a list means any of its values; numbers stand for their digits.',
  }),
  { description: 'Keys that must all match.' },
)

export type Selector = Static<typeof selector>

export function selectorList(description: string) {
  return list(selector, description, { minItems: 1 })
}

/** Selectors as they are matched: every value is a list of strings. */
export function normalizeSelectors(selectors: readonly Selector[]): SelectorMap[] {
  return selectors.map((selector) =>
    Object.fromEntries(Object.entries(selector).map(([key, value]) => [key, [value].flat().map(String)])),
  )
}

const actedOn =
  /^(process:(name|binary:path|binary:hash|cmdline|uid|gid|cgroup|env:.+)|process:ancestor:(name|binary:path|binary:hash|cmdline|uid|gid)|destination:port|systemd:unit)$/
const known =
  /^(process:(pid|uid:real|uid:effective|gid:real|gid:effective|gid:additional|network:binding)|systemd:description|(docker|k8s|ec2|gcp|azure|awsiid|gcpiit|githubactions|linuxos|node|status|sysfsdmi):.+)$/

/** Every map has at least one key, and every key is one of the vocabulary. */
export function checkSelectors(path: string, selectors: readonly Selector[]): FieldError[] {
  return selectors.flatMap((selector, index) => {
    const keys = Object.keys(selector)
    if (keys.length === 0) return [required(at(path, index), 'an empty selector would match everything')]
    return keys
      .filter((key) => !actedOn.test(key) && !known.test(key))
      .map((key) =>
        unknownField(
          at(path, index, key),
          'a selector key is one of process:name, process:binary:path, process:binary:hash, process:cmdline, ' +
            'process:uid, process:gid, process:cgroup, process:env:NAME, process:ancestor:*, destination:port, systemd:unit, ' +
            'docker:*, k8s:*',
        ),
      )
  })
}

/** Every map has at least one key: an empty one would match every Service. */
export function checkLabelSelectors(path: string, selectors: readonly Selector[]): FieldError[] {
  return selectors.flatMap((selector, index) =>
    Object.keys(selector).length === 0
      ? [required(at(path, index), 'an empty selector would match every Service')]
      : [],
  )
}

/** Keys of the vocabulary that no attestor collects yet: a selector that has one matches no process. */
export function unsupportedSelectorKeys(path: string, selectors: readonly Selector[]): string[] {
  return selectors.flatMap((selector, index) =>
    Object.keys(selector)
      .filter((key) => !actedOn.test(key))
      .map((key) => at(path, index, key)),
  )
}

/**
 * Whether some alternative says only what runs, not who runs it, so that any local user can start a process
 * that matches (security rule 11).
 */
export function assumableByAnyLocalUser(selectors: readonly Selector[]): boolean {
  return selectors.some(
    (selector) =>
      !Object.keys(selector).some((key) =>
        /^(process:uid$|process:cgroup$|systemd:unit$|docker:|k8s:)/.test(key),
      ),
  )
}

// Process 1, which every other process of a host descends from.
const firstProcess = /^(.*\/)?(init|systemd|tini|dumb-init)$/
const firstCommands = [
  '/sbin/init',
  '/usr/sbin/init',
  '/lib/systemd/systemd',
  '/usr/lib/systemd/systemd',
  'init',
]

/** Whether one key with one of its values says what is true of every process. */
function saysNothing(key: string, value: string): boolean {
  switch (key) {
    case 'destination:port':
      return true
    case 'process:cmdline':
      return value === '' || value === '/'
    case 'process:ancestor:uid':
    case 'process:ancestor:gid':
      return value === '0'
    case 'process:ancestor:name':
    case 'process:ancestor:binary:path':
      return firstProcess.test(value)
    case 'process:ancestor:cmdline':
      return firstCommands.some((command) => command.startsWith(value))
    default:
      return false
  }
}

/**
 * Alternatives that say nothing of the process itself, so that any process on a node meets them: a destination
 * alone, a command line that begins with nothing, an ancestor that all have.
 */
function anyProcessSelectors(selectors: readonly Selector[]): number[] {
  return selectors.flatMap((selector, index) => {
    const open = Object.entries(selector).every(([key, value]) =>
      [value].flat().some((item) => saysNothing(key, String(item))),
    )
    return open ? [index] : []
  })
}

/** SECURITY: such an identity is everybody's; it is refused unless somebody says why that is safe. */
export function checkAnyProcess(
  path: string,
  selectors: readonly Selector[],
  reason: string | undefined,
): FieldError[] {
  if (reason !== undefined) return []
  return anyProcessSelectors(selectors)
    .filter((index) => Object.keys(selectors[index]!).length > 0)
    .map((index) =>
      forbidden(
        at(path, index),
        'any process on the node would be this workload: add process:uid, systemd:unit or process:binary:path, or ' +
          'say why this is safe in spec.anyProcessReason',
      ),
    )
}

/** Alternatives that rest on what the kernel cannot filter by, so that only `captureAll` can serve them (rule 1). */
export function unfilterableSelectors(selectors: readonly Selector[]): number[] {
  const filterable = /^(process:(uid|gid|name|binary:path|cgroup)$|systemd:unit$|docker:|k8s:)/
  return selectors.flatMap((selector, index) =>
    Object.keys(selector).some((key) => filterable.test(key)) ? [] : [index],
  )
}
