import { parseQuery } from '#emulator/sigv4'
import { AwsError } from './aws-error.ts'
import type { Call } from './call.ts'

/** The parameters of a call of the AWS Query protocol: form body and query string. */
export interface Parameters {
  get(name: string): string | undefined
  /** @throws AwsError ValidationError */
  require(name: string, limits?: { pattern?: RegExp; max?: number }): string
  /** `Name.member.1`, `Name.member.2`, ... in order; at most 200. */
  list(name: string): readonly string[]
}

const maxMembers = 200

/** @throws AwsError MalformedInput */
export function readParameters(call: Call): Parameters {
  let values: Map<string, readonly string[]>
  try {
    const form = parseQuery(call.body.toString('utf8').replaceAll('+', '%20'))
    values = new Map([...call.query, ...form])
  } catch {
    throw new AwsError(400, 'MalformedInput', 'The request body is not a valid form')
  }
  const get = (name: string) => values.get(name)?.[0]
  return {
    get,
    require(name, { pattern = /^[^]+$/, max = 200_000 } = {}) {
      const value = get(name)
      if (value !== undefined && value.length <= max && pattern.test(value)) return value
      const member = name.charAt(0).toLowerCase() + name.slice(1)
      const constraint =
        value === undefined
          ? 'Member must not be null'
          : value.length > max
            ? `Member must have length less than or equal to ${max}`
            : `Member must satisfy regular expression pattern: ${pattern.source}`
      throw validationError(
        `1 validation error detected: Value ${value === undefined ? 'null' : `'${value}'`} at '${member}' ` +
          `failed to satisfy constraint: ${constraint}`,
      )
    },
    list(name) {
      const members: string[] = []
      for (let index = 1; index <= maxMembers; index++) {
        const value = get(`${name}.member.${index}`)
        if (value === undefined) break
        members.push(value)
      }
      return members
    },
  }
}

export function validationError(message: string): AwsError {
  return new AwsError(400, 'ValidationError', message)
}
