import { Type, type Static } from 'typebox'
import type { SelectorMap } from '#model/scope'
import { at, required, unknownField, type FieldError } from './field-error.ts'
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

/** Alternatives that rest on what the kernel cannot filter by, so that only `captureAll` can serve them (rule 1). */
export function unfilterableSelectors(selectors: readonly Selector[]): number[] {
  const filterable = /^(process:(uid|gid|name|binary:path|cgroup)$|systemd:unit$|docker:|k8s:)/
  return selectors.flatMap((selector, index) =>
    Object.keys(selector).some((key) => filterable.test(key)) ? [] : [index],
  )
}
