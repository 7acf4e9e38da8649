import type { ScopedIdentity, SelectorMap } from '#model/scope'
import { isWeak } from './keys.ts'
import { matchSelector, type Attributes, type SelectorMatch } from './match.ts'

/** How one identity fared: the outcome of each of its selectors, in their order. */
export interface IdentityMatch {
  readonly identity: ScopedIdentity
  readonly selectors: readonly { readonly selector: SelectorMap; readonly outcome: SelectorMatch }[]
}

export type Choice =
  | { readonly kind: 'identified'; readonly identity: ScopedIdentity; readonly because: IdentityMatch }
  | { readonly kind: 'stranger' }
  /** Several match and none is more specific: nobody gets it (security rule 11). */
  | { readonly kind: 'tie'; readonly between: readonly ScopedIdentity[] }

/** Matches every identity, also those that fail: what `tideway attest` explains. */
export function matchIdentities(
  identities: Iterable<ScopedIdentity>,
  attributes: Attributes,
): readonly IdentityMatch[] {
  return [...identities].map((identity) => ({
    identity,
    selectors: identity.selectors.map((selector) => ({
      selector,
      outcome: matchSelector(selector, attributes),
    })),
  }))
}

/** The strong keys of each selector that matched. */
function strongKeySets({ selectors }: IdentityMatch): readonly ReadonlySet<string>[] {
  return selectors.flatMap(({ outcome }) =>
    outcome.matched ? [new Set(outcome.keys.filter((key) => !isWeak(key)))] : [],
  )
}

/** SECURITY: only a strict superset of strong keys is more specific; what a process writes itself adds nothing. */
function beats(a: IdentityMatch, b: IdentityMatch): boolean {
  const own = strongKeySets(a)
  return strongKeySets(b).every((theirs) =>
    own.some((mine) => mine.size > theirs.size && mine.isSupersetOf(theirs)),
  )
}

/** The one identity that is more specific than every other that matched (security rule 11). */
export function chooseIdentity(identities: Iterable<ScopedIdentity>, attributes: Attributes): Choice {
  const matched = matchIdentities(identities, attributes).filter(({ selectors }) =>
    selectors.some(({ outcome }) => outcome.matched),
  )
  if (matched.length === 0) return { kind: 'stranger' }
  const winner = matched.find((one) => matched.every((other) => other === one || beats(one, other)))
  if (winner) return { kind: 'identified', identity: winner.identity, because: winner }
  return { kind: 'tie', between: matched.map(({ identity }) => identity) }
}
