import { matchesGlob } from './glob.ts'

/** Values of the request's condition keys; names in lower case. A key that is absent has no entry. */
export type ConditionContext = ReadonlyMap<string, readonly string[]>

/** Operator -> condition key -> expected values. */
export type ConditionBlock = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>

type Comparison = (actual: string, expected: string) => boolean

const number =
  (compare: (a: number, b: number) => boolean): Comparison =>
  (actual, expected) =>
    compare(Number(actual), Number(expected))
const date =
  (compare: (a: number, b: number) => boolean): Comparison =>
  (actual, expected) =>
    compare(Date.parse(actual), Date.parse(expected))
const equal = (a: number, b: number) => a === b
const less = (a: number, b: number) => a < b
const lessOrEqual = (a: number, b: number) => a <= b
const greater = (a: number, b: number) => a > b
const greaterOrEqual = (a: number, b: number) => a >= b
const arn: Comparison = (actual, expected) => matchesGlob(expected, actual)

const comparisons: Readonly<Record<string, Comparison>> = {
  StringEquals: (actual, expected) => actual === expected,
  StringEqualsIgnoreCase: (actual, expected) => actual.toLowerCase() === expected.toLowerCase(),
  StringLike: (actual, expected) => matchesGlob(expected, actual),
  ArnEquals: arn,
  ArnLike: arn,
  Bool: (actual, expected) => actual.toLowerCase() === expected.toLowerCase(),
  NumericEquals: number(equal),
  NumericLessThan: number(less),
  NumericLessThanEquals: number(lessOrEqual),
  NumericGreaterThan: number(greater),
  NumericGreaterThanEquals: number(greaterOrEqual),
  DateEquals: date(equal),
  DateLessThan: date(less),
  DateLessThanEquals: date(lessOrEqual),
  DateGreaterThan: date(greater),
  DateGreaterThanEquals: date(greaterOrEqual),
}

/** Operators that hold when their positive counterpart holds for none of the expected values. */
const negations: Readonly<Record<string, string>> = {
  StringNotEquals: 'StringEquals',
  StringNotEqualsIgnoreCase: 'StringEqualsIgnoreCase',
  StringNotLike: 'StringLike',
  ArnNotEquals: 'ArnEquals',
  ArnNotLike: 'ArnLike',
  NumericNotEquals: 'NumericEquals',
  DateNotEquals: 'DateEquals',
}

interface Operator {
  readonly name: string
  readonly quantifier: 'ForAnyValue' | 'ForAllValues' | undefined
  readonly ifExists: boolean
}

function parseOperator(text: string): Operator {
  const [, quantifier, name = '', ifExists] =
    /^(?:(ForAnyValue|ForAllValues):)?(\w+?)(IfExists)?$/.exec(text) ?? []
  return { name, quantifier: quantifier as Operator['quantifier'], ifExists: ifExists !== undefined }
}

/** Whether `text` names an operator that `conditionsHold` evaluates: policies with any other are refused. */
export function isKnownOperator(text: string): boolean {
  const { name } = parseOperator(text)
  return Object.hasOwn(comparisons, name) || Object.hasOwn(negations, name) || name === 'Null'
}

/** Whether every operator and every key of the block holds (IAM, "Condition operators"). */
export function conditionsHold(block: ConditionBlock, context: ConditionContext): boolean {
  return Object.entries(block).every(([operator, keys]) => {
    const parsed = parseOperator(operator)
    return Object.entries(keys).every(([key, expected]) =>
      holds(parsed, context.get(key.toLowerCase()), expected),
    )
  })
}

function holds(
  { name, quantifier, ifExists }: Operator,
  actual: readonly string[] | undefined,
  expected: readonly string[],
): boolean {
  if (name === 'Null') return expected.some((value) => (value === 'true') === (actual === undefined))
  const negated = negations[name]
  const comparison = comparisons[negated ?? name]
  if (!comparison) return false
  if (actual === undefined) return ifExists || negated !== undefined || quantifier === 'ForAllValues'
  const matches = (value: string) =>
    expected.some((each) => comparison(value, each)) !== (negated !== undefined)
  // Without a quantifier a negated operator must hold for every value, a plain one for any.
  const all = quantifier === 'ForAllValues' || (quantifier === undefined && negated !== undefined)
  return all ? actual.every(matches) : actual.some(matches)
}
