import type { IdentityMatch } from './choose.ts'
import type { SelectorMatch } from './match.ts'
import { isCollected } from './keys.ts'

function explainSelector(outcome: SelectorMatch): string {
  if (outcome.matched) return `matches on ${outcome.keys.join(', ')}`
  const { key, wanted, actual } = outcome
  if (key === '') return 'has no keys, and so matches nothing'
  const want = `wants ${key} = ${wanted.map((value) => JSON.stringify(value)).join(' or ')}`
  if (!isCollected(key)) return `${want}, which this daemon does not collect`
  if (!actual) return `${want}, the process has none`
  return `${want}, it is ${actual.map((value) => JSON.stringify(value)).join(', ')}`
}

/** One sentence for each selector of an identity: what it wanted and what there was. */
export function explainMatch({ selectors }: IdentityMatch): readonly string[] {
  if (selectors.length === 0) return ['has no selectors']
  return selectors.map(({ outcome }) => explainSelector(outcome))
}
