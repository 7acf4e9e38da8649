import { Fault } from '#base/errors'
import { definitionOf, subjectOf, type Resource } from '#model/resource'
import { encodeRecord, type Hidden, type ResourceRecord } from './resource-record.ts'

/** As much as etcd takes in one request unless told otherwise. */
const maxBytes = 1.5 * 1024 * 1024

// What is sealed is base64 once more, a third longer than what the writer sent.
const sizeOf = (encoded: Uint8Array, { sealedData = '' }: Hidden): number =>
  encoded.length - Math.floor(sealedData.length / 4)

/**
 * The bytes of a record that somebody writes, in place of `before` if given. What has been too large before may become
 * smaller step by step.
 * @throws Fault RESOURCE_TOO_LARGE
 */
export function encodeBounded(object: Resource, hidden: Hidden, before?: ResourceRecord): Uint8Array {
  const encoded = encodeRecord(object, hidden)
  const size = sizeOf(encoded, hidden)
  if (size <= maxBytes) return encoded
  if (before && size <= sizeOf(encodeRecord(before.object, before.hidden), before.hidden)) return encoded
  const subject = subjectOf(definitionOf(object.kind), object.metadata.name)
  const message = `${subject} is too large: ${size} bytes, of ${maxBytes} at most, with metadata.managedFields`
  throw new Fault('RESOURCE_TOO_LARGE', message, { publicText: message })
}
