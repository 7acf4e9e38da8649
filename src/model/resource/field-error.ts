import { Fault, isFault } from '#base/errors'

/** One thing wrong with an object, in the terms of Kubernetes' `StatusCause`. Never holds a write-only value. */
export interface FieldError {
  readonly reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueUnknown'
    | 'FieldValueDuplicate'
  /** Path such as `spec.selectors[0]`. */
  readonly field: string
  readonly message: string
}

export const required = (field: string, detail?: string): FieldError => ({
  reason: 'FieldValueRequired',
  field,
  message: detail ? `Required value: ${detail}` : 'Required value',
})

/** `value` is shown: never pass a write-only one. */
export const invalid = (field: string, value: unknown, detail: string): FieldError => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${JSON.stringify(value)?.slice(0, 200)}: ${detail}`,
})

export const malformed = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${detail}`,
})

export const forbidden = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueForbidden',
  field,
  message: `Forbidden: ${detail}`,
})

export const notSupported = (field: string, value: unknown, allowed: readonly unknown[]): FieldError => ({
  reason: 'FieldValueNotSupported',
  field,
  message: `Unsupported value: ${JSON.stringify(value)?.slice(0, 200)}: supported values: ${allowed
    .map((item) => JSON.stringify(item))
    .join(', ')}`,
})

export const duplicate = (field: string, value: unknown): FieldError => ({
  reason: 'FieldValueDuplicate',
  field,
  message: `Duplicate value: ${JSON.stringify(value)?.slice(0, 200)}`,
})

export const unknownField = (field: string, detail?: string): FieldError => ({
  reason: 'FieldValueUnknown',
  field,
  message: detail ? `unknown field: ${detail}` : 'unknown field',
})

/** Appends a property or index to a path: `spec` + `a` -> `spec.a`, + 0 -> `spec[0]`, + `k8s:x` -> `spec[k8s:x]`. */
export function at(path: string, ...steps: readonly (string | number)[]): string {
  return steps.reduce<string>((path, step) => {
    const plain = typeof step === 'string' && /^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)
    if (!plain) return `${path}[${step}]`
    return path === '' ? step : `${path}.${step}`
  }, path)
}

/** Of more errors than these the first are told. */
const maxTold = 100

/** A list of field errors as one fault, worded as kubectl words it; `fieldErrorsOf` gives back those that it tells. */
export function invalidResource(subject: string, found: readonly FieldError[]): Fault {
  const more = malformed('', `more is wrong than these ${maxTold} errors`)
  const errors = found.length > maxTold ? [...found.slice(0, maxTold), more] : found
  const causes = errors.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`))
  const detail = causes.length === 1 ? causes[0]! : `[${causes.join(', ')}]`
  const message = `${subject} is invalid: ${detail}`
  return new Fault('RESOURCE_INVALID', message, { publicText: message, cause: errors })
}

/** The field errors in a RESOURCE_INVALID fault; empty for any other. */
export function fieldErrorsOf(error: unknown): readonly FieldError[] {
  if (!isFault(error, 'RESOURCE_INVALID') || !Array.isArray(error.cause)) return []
  return error.cause as readonly FieldError[]
}
