import { invalidResource, maxDepth, nestsTooDeep } from '#model/resource'
import { applyOperation, valueAt, type Operation } from './json-operation.ts'

// The bounds of Kubernetes: a patch is small, and what its copies make of an object is not much larger.
const maxOperations = 10_000
const maxCopiedBytes = 3 * 1024 * 1024

const operators: ReadonlySet<unknown> = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test'])

function isPointer(value: unknown): value is string {
  // SECURITY: to set `__proto__` is to change what an object inherits; no field has such a name.
  return typeof value === 'string' && /^(\/([^~/]|~[01])*)*$/.test(value) && !/\/__proto__(\/|$)/.test(value)
}

function isOperation(value: unknown): value is Operation {
  if (typeof value !== 'object' || value === null) return false
  const { op, path, from, value: operand } = value as Record<string, unknown>
  const needsFrom = op === 'move' || op === 'copy'
  const needsValue = op === 'add' || op === 'replace' || op === 'test'
  return (
    operators.has(op) &&
    isPointer(path) &&
    (!needsFrom || isPointer(from)) &&
    (!needsValue || operand !== undefined)
  )
}

/**
 * Applies a JSON patch (RFC 6902): all of it or nothing; `target` itself is unchanged.
 * @throws Fault RESOURCE_INVALID naming the operation that cannot be done
 */
export function jsonPatch(target: object, patch: unknown, subject: string): unknown {
  const refuse = (field: string, message: string) =>
    invalidResource(subject, [{ reason: 'FieldValueInvalid', field, message: `Invalid value: ${message}` }])
  if (!Array.isArray(patch)) throw refuse('patch', 'a JSON patch is a list of operations')
  if (patch.length > maxOperations) throw refuse('patch', `more than ${maxOperations} operations`)
  const patched = structuredClone(target)
  let copiedBytes = 0
  for (const [index, operation] of (patch as unknown[]).entries()) {
    const field = `patch[${index}]`
    if (!isOperation(operation)) throw refuse(field, 'not an operation of RFC 6902')
    const { op, path } = operation
    // Replacing the whole object is no change of it.
    if (path === '' && op !== 'test') throw refuse(field, 'the whole object cannot be patched')
    if (op === 'copy') {
      const copied = valueAt(patched, operation.from)
      if (nestsTooDeep(copied)) throw refuse(field, 'the patch copies too much')
      copiedBytes += (JSON.stringify(copied) ?? '').length
      if (copiedBytes > maxCopiedBytes) throw refuse(field, 'the patch copies too much')
    }
    const failure = applyOperation(patched, operation)
    if (failure) throw refuse(field, `${op} ${path}: ${failure}`)
  }
  // Each operation could put all there is into one more map.
  if (nestsTooDeep(patched)) throw refuse('patch', `nested more than ${maxDepth} levels deep`)
  return patched
}
