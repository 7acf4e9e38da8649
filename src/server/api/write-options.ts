import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { invalid, malformed, notSupported, withoutNulls, type FieldError } from '#model/resource'
import type { DeleteOptions, PropagationPolicy, WriteOptions } from '#server/store'
import { flag, givenOnce, single, type ResourceRequest } from './resource-request.ts'
import { badRequest, invalidOptions } from './status.ts'

const maxManagerLength = 128
/** Of all warnings of an answer, as in Kubernetes: clients bound the headers that they take. */
const maxWarningLength = 4096

const fieldValidation = { Strict: 'refuse', Warn: 'warn', Ignore: 'drop' } as const
const policies: readonly PropagationPolicy[] = ['Foreground', 'Background', 'Orphan']

/** A `Warning` header value (RFC 9110 left it to RFC 7234 section 5.5): one line of ASCII in quotes. */
function warningHeader(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]/g, '?').replaceAll(/["\\]/g, '\\$&')
  return `299 - "${plain}"`
}

/** Kubernetes' name of the options of a request. */
const optionsOf = ({ method }: ResourceRequest) =>
  ({ POST: 'CreateOptions', PUT: 'UpdateOptions', PATCH: 'PatchOptions' })[method] ?? 'DeleteOptions'

/** Who owns what a request changes: the manager it names, or the program that it comes from. */
function managerOf(request: ResourceRequest): string {
  const manager = single(request.query, 'fieldManager')
  if (manager === undefined) {
    const [program = ''] = (request.headers['user-agent'] ?? '').split('/', 1)
    return program.replaceAll(/[^\x20-\x7e]/g, '').slice(0, maxManagerLength) || 'unknown'
  }
  if (manager.length <= maxManagerLength && !/\p{C}/u.test(manager)) return manager
  const detail = `must be printable and at most ${maxManagerLength} characters`
  throw invalidOptions(optionsOf(request), [malformed('fieldManager', detail)])
}

/** @throws RequestRefusal for anything but `All`, also when it is empty: whoever asks for a dry run means one */
function expectDryRun(request: ResourceRequest, values: unknown): void {
  if (values === undefined || JSON.stringify(values) === '["All"]') return
  throw invalidOptions(optionsOf(request), [notSupported('dryRun', values, ['All'])])
}

/** How a request wants something to be written. @throws RequestRefusal 400, 422 */
export function writeOptionsFrom(request: ResourceRequest, reply: FastifyReply): WriteOptions {
  const dryRun = givenOnce(request.query, 'dryRun')
  expectDryRun(request, dryRun === undefined ? undefined : [dryRun])
  const validation = single(request.query, 'fieldValidation') ?? 'Strict'
  if (!Object.hasOwn(fieldValidation, validation)) {
    const supported = ['', ...Object.keys(fieldValidation).toSorted()]
    throw invalidOptions(optionsOf(request), [notSupported('fieldValidation', validation, supported)])
  }
  const unknownFields = fieldValidation[validation as keyof typeof fieldValidation]
  const duplicates = (request.duplicateFields ?? []).map((path) => `duplicate field "${path}"`)
  if (unknownFields === 'refuse' && duplicates.length > 0)
    throw badRequest(`strict decoding error: ${duplicates.join(', ')}`)
  const warn = warnThrough(reply)
  if (unknownFields === 'warn') duplicates.forEach(warn)
  return {
    actor: request.principal!,
    fieldManager: managerOf(request),
    unknownFields,
    observe: (review) => {
      request.review = review
    },
    dryRun: dryRun !== undefined,
    warn,
  }
}

/** Warnings become headers of the answer: each once, and as many as fit. */
function warnThrough(reply: FastifyReply): (warning: string) => void {
  const warnings = new Set<string>()
  let room = maxWarningLength
  return (warning) => {
    if (room === 0 || warnings.has(warning)) return
    const fits = warning.length <= room
    room = fits ? room - warning.length : 0
    warnings.add(fits ? warning : 'there are more warnings')
    void reply.header('warning', [...warnings].map(warningHeader))
  }
}

const text = Type.Optional(Type.String())

/** As much of Kubernetes' DeleteOptions as decides something. Null is as absent, and what is unknown is passed by. */
const deleteOptions = Compile(
  Type.Object({
    kind: Type.Optional(Type.Literal('DeleteOptions')),
    preconditions: Type.Optional(Type.Object({ uid: text, resourceVersion: text })),
    dryRun: Type.Optional(Type.Array(Type.String())),
    gracePeriodSeconds: Type.Optional(Type.Integer()),
    orphanDependents: Type.Optional(Type.Boolean()),
    propagationPolicy: text,
  }),
)

/**
 * DeleteOptions, which come as parameters, as a body or as both.
 * SECURITY: a condition that is not understood must not be passed by, for what is deleted is gone.
 * @throws RequestRefusal 400, 422
 */
export function deleteOptionsFrom(request: ResourceRequest): DeleteOptions & { dryRun: boolean } {
  const { query } = request
  const options = withoutNulls(request.body ?? {})
  if (!deleteOptions.Check(options))
    throw badRequest('DeleteOptions are expected, or something in them is not in order')
  const { preconditions, dryRun, orphanDependents = flag(query, 'orphanDependents') } = options
  const { uid, resourceVersion } = preconditions ?? {}
  expectDryRun(request, dryRun)
  const grace = single(query, 'gracePeriodSeconds')
  if (grace !== undefined && !/^-?\d{1,15}$/.test(grace))
    throw badRequest('gracePeriodSeconds must be a number')
  const wanted = options.propagationPolicy ?? single(query, 'propagationPolicy')
  const refuse = (error: FieldError) => invalidOptions('DeleteOptions', [error])
  if (wanted !== undefined && orphanDependents !== undefined) {
    const detail = 'orphanDependents and deletionPropagation cannot be both set'
    throw refuse(invalid('propagationPolicy', wanted, detail))
  }
  const policy = wanted ?? (orphanDependents === true ? 'Orphan' : undefined)
  if (policy !== undefined && !isPolicy(policy)) {
    throw refuse(notSupported('propagationPolicy', policy, [...policies, 'nil']))
  }
  return {
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(policy !== undefined && { propagationPolicy: policy }),
    dryRun: dryRun !== undefined,
  }
}

const isPolicy = (text: string): text is PropagationPolicy => (policies as readonly string[]).includes(text)
