import { at, malformed, type FieldError } from './field-error.ts'

const detail =
  'a number is kept exactly when it is finite and, as an integer, within ±(2^53 - 1): write this one as text'

/**
 * Numbers that are, or may be, others than those that were written: of an integer beyond ±(2^53 - 1) JSON.parse makes
 * one that is near, and of 1e400 Infinity, which is written back as null (RFC 8259 section 6).
 */
export function numberErrors(value: unknown, path = ''): FieldError[] {
  if (typeof value === 'number') {
    const kept = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
    return kept ? [] : [malformed(path, detail)]
  }
  if (typeof value !== 'object' || value === null) return []
  const isList = Array.isArray(value)
  return Object.entries(value).flatMap(([key, item]) =>
    numberErrors(item, at(path, isList ? Number(key) : key)),
  )
}
