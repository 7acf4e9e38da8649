import type { FastifyReply } from 'fastify'
import { invalidResource, type FieldError } from '#model/resource'
import type { DeleteOptions, PropagationPolicy, WriteOptions } from '#server/store'
import { flag, single, type ResourceRequest } from './resource-request.ts'
import { badRequest } from './status.ts'

const maxManagerLength = 128
/** Of all warnings of an answer, as in Kubernetes: clients bound the headers that they take. */
const maxWarningLength = 4096

const fieldValidation = { Strict: 'refuse', Warn: 'warn', Ignore: 'drop' } as const
const policies: readonly PropagationPolicy[] = ['Orphan', 'Background', 'Foreground']

/** A `Warning` header value (RFC 9110 left it to RFC 7234 section 5.5): one line of ASCII in quotes. */
function warningHeader(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, '\\$&')
  return `299 - "${plain}"`
}

/** Who owns what a request changes: the manager it names, or the program that it comes from. */
function managerOf({ query, headers }: ResourceRequest): string {
  const manager = single(query, 'fieldManager')
  if (manager === undefined) {
    const [program = ''] = (headers['user-agent'] ?? '').split('/', 1)
    return program.replaceAll(/[^\x20-\x7e]/g, '').slice(0, maxManagerLength) || 'unknown'
  }
  if (manager.length <= maxManagerLength && !/\p{C}/u.test(manager)) return manager
  throw invalidOptions('PatchOptions', {
    reason: 'FieldValueInvalid',
    field: 'fieldManager',
    message: `Invalid value: must be printable and at most ${maxManagerLength} characters`,
  })
}

/** A parameter of a request that is not in order, as Kubernetes words it. */
export function invalidOptions(kind: string, error: FieldError) {
  return invalidResource(`${kind}.meta.k8s.io ""`, [error])
}

/** How a request wants something to be written; warnings become headers of its answer. */
export function writeOptionsFrom(request: ResourceRequest, reply: FastifyReply): WriteOptions {
  const dryRun = single(request.query, 'dryRun')
  if (dryRun !== undefined && dryRun !== 'All') throw badRequest('dryRun must be All')
  const validation = single(request.query, 'fieldValidation') ?? 'Strict'
  if (!Object.hasOwn(fieldValidation, validation)) {
    throw badRequest('fieldValidation must be Strict, Warn or Ignore')
  }
  const warnings = new Set<string>()
  let room = maxWarningLength
  return {
    actor: request.principal!,
    fieldManager: managerOf(request),
    unknownFields: fieldValidation[validation as keyof typeof fieldValidation],
    observe: (review) => {
      request.review = review
    },
    dryRun: dryRun === 'All',
    warn: (warning) => {
      if (room === 0 || warnings.has(warning)) return
      const fits = warning.length <= room
      room = fits ? room - warning.length : 0
      warnings.add(fits ? warning : 'there are more warnings')
      void reply.header('warning', [...warnings].map(warningHeader))
    },
  }
}

/** Kubernetes' DeleteOptions, which come as parameters, as a body or as both. */
export function deleteOptionsFrom({ query, body }: ResourceRequest): DeleteOptions & { dryRun: boolean } {
  const options = (body ?? {}) as Readonly<Record<string, unknown>>
  if (typeof options !== 'object' || Array.isArray(options)) throw badRequest('DeleteOptions are expected')
  const { preconditions, dryRun, orphanDependents } = options
  const { uid, resourceVersion } = (preconditions ?? {}) as Readonly<Record<string, unknown>>
  if (dryRun !== undefined && JSON.stringify(dryRun) !== '["All"]') throw badRequest('dryRun must be ["All"]')
  const byOldName = (orphanDependents ?? flag(query, 'orphanDependents')) === true ? 'Orphan' : undefined
  const policy = options['propagationPolicy'] ?? single(query, 'propagationPolicy') ?? byOldName
  if (policy !== undefined && !policies.includes(policy as PropagationPolicy)) {
    throw badRequest(`propagationPolicy must be ${policies.join(', ')}`)
  }
  return {
    ...(typeof uid === 'string' && { uid }),
    ...(typeof resourceVersion === 'string' && { resourceVersion }),
    ...(policy !== undefined && { propagationPolicy: policy as PropagationPolicy }),
    dryRun: dryRun !== undefined,
  }
}
