import { createHash } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import type { Answer, Call } from './call.ts'
import { verifyChecksums } from './checksums.ts'
import type { S3Store, StoredObject } from './s3-store.ts'

const keptHeaders = ['content-type', 'cache-control', 'content-disposition', 'content-language', 'expires']

/** The headers of an upload that come back with the object. */
export function objectHeaders(call: Call): Record<string, string> {
  const kept = [...call.headers].filter(
    ([name]) => keptHeaders.includes(name) || name.startsWith('x-amz-meta-'),
  )
  // aws-chunked is how the body travelled, no property of the object.
  const encodings = (call.headers.get('content-encoding') ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '' && each !== 'aws-chunked')
  return {
    'content-type': 'binary/octet-stream',
    ...Object.fromEntries(kept),
    ...(encodings.length > 0 ? { 'content-encoding': encodings.join(', ') } : {}),
  }
}

export function putObject(store: S3Store, call: Call, bucket: string, key: string): Answer {
  const checksums = verifyChecksums(call)
  if (call.headers.has('x-amz-copy-source')) {
    throw new AwsError(
      501,
      'NotImplemented',
      'A header you provided implies functionality that is not implemented',
    )
  }
  if (call.headers.get('if-none-match') === '*' && store.bucket(bucket).objects.has(key)) {
    throw new AwsError(
      412,
      'PreconditionFailed',
      'At least one of the pre-conditions you specified did not hold',
    )
  }
  const etag = md5(call.body)
  store.put(bucket, key, {
    body: call.body,
    etag,
    modifiedAt: call.at,
    headers: objectHeaders(call),
    checksums,
  })
  return { status: 200, headers: { etag: `"${etag}"`, ...Object.fromEntries(checksums) } }
}

/** GetObject and HeadObject. */
export function getObject(store: S3Store, call: Call, bucket: string, key: string): Answer {
  const object = store.object(bucket, key)
  const range = readRange(call.headers.get('range'), object.body.length)
  const headers = describe(object, call)
  if (!range) {
    return {
      status: 200,
      headers: { ...headers, 'content-length': String(object.body.length) },
      body: object.body,
    }
  }
  const body = object.body.subarray(range.start, range.end + 1)
  const contentRange = `bytes ${range.start}-${range.end}/${object.body.length}`
  return {
    status: 206,
    headers: { ...headers, 'content-length': String(body.length), 'content-range': contentRange },
    body,
  }
}

export function deleteObject(store: S3Store, _call: Call, bucket: string, key: string): Answer {
  store.delete(bucket, key)
  return { status: 204 }
}

export function md5(data: Buffer): string {
  return createHash('md5').update(data).digest('hex')
}

function describe(object: StoredObject, call: Call): Record<string, string> {
  const withChecksums = call.headers.get('x-amz-checksum-mode') === 'ENABLED' && !call.headers.has('range')
  return {
    ...object.headers,
    etag: `"${object.etag}"`,
    'last-modified': new Date(object.modifiedAt).toUTCString(),
    'accept-ranges': 'bytes',
    ...(withChecksums ? Object.fromEntries(object.checksums) : {}),
  }
}

/** One byte range (RFC 9110 section 14.1.2); several, or another unit, are ignored as S3 does. */
function readRange(text: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const [, first = '', last = ''] = match
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (start < size && start <= end) return { start, end }
  throw new AwsError(416, 'InvalidRange', 'The requested range is not satisfiable', {
    RangeRequested: text ?? '',
    ActualObjectSize: String(size),
  })
}
