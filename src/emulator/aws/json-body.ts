import { AwsError } from './aws-error.ts'

/** Reads a JSON object; an empty body is an empty object. @throws AwsError SerializationException */
export function readJsonObject(body: Buffer): Readonly<Record<string, unknown>> {
  if (body.length === 0) return {}
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {
    // answered below, like any other body that is no object
  }
  throw new AwsError(400, 'SerializationException', 'The request body is not a JSON object')
}
