import { createHash, randomUUID } from 'node:crypto'
import { AwsError } from './aws-error.ts'
import { parameter, type Answer, type Call } from './call.ts'
import { verifyChecksums } from './checksums.ts'
import { xmlAnswer } from './s3-buckets.ts'
import { md5, objectHeaders } from './s3-objects.ts'
import type { S3Store } from './s3-store.ts'

const maxPartNumber = 10_000
const minPartBytes = 5 << 20

export function createUpload(store: S3Store, call: Call, bucket: string, key: string): Answer {
  store.bucket(bucket)
  const id = randomUUID()
  store.startUpload(id, { bucket, key, headers: objectHeaders(call), startedAt: call.at, parts: new Map() })
  return xmlAnswer('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId: id })
}

export function uploadPart(store: S3Store, call: Call, bucket: string, key: string): Answer {
  const upload = store.upload(parameter(call.query, 'uploadId') ?? '', bucket, key)
  const number = Number(parameter(call.query, 'partNumber'))
  if (!Number.isInteger(number) || number < 1 || number > maxPartNumber) {
    throw new AwsError(
      400,
      'InvalidArgument',
      'Part number must be an integer between 1 and 10000, inclusive',
    )
  }
  const checksums = verifyChecksums(call)
  const etag = md5(call.body)
  store.putPart(upload, number, { body: call.body, etag })
  return { status: 200, headers: { etag: `"${etag}"`, ...Object.fromEntries(checksums) } }
}

export function completeUpload(store: S3Store, call: Call, bucket: string, key: string): Answer {
  const id = parameter(call.query, 'uploadId') ?? ''
  const upload = store.upload(id, bucket, key)
  const listed = readParts(call.body.toString('utf8'))
  const parts = listed.map(({ number, etag }, index) => {
    const part = upload.parts.get(number)
    if (part?.etag !== etag)
      throw new AwsError(400, 'InvalidPart', 'One or more of the specified parts is missing')
    if (index > 0 && number <= (listed[index - 1]?.number ?? 0)) {
      throw new AwsError(400, 'InvalidPartOrder', 'The list of parts was not in ascending order.')
    }
    if (index < listed.length - 1 && part.body.length < minPartBytes) {
      throw new AwsError(
        400,
        'EntityTooSmall',
        'Your proposed upload is smaller than the minimum allowed size',
      )
    }
    return part
  })
  const digests = Buffer.concat(parts.map((part) => Buffer.from(part.etag, 'hex')))
  const etag = `${createHash('md5').update(digests).digest('hex')}-${parts.length}`
  const body = Buffer.concat(parts.map((part) => part.body))
  store.endUpload(id)
  store.put(bucket, key, { body, etag, modifiedAt: call.at, headers: upload.headers, checksums: new Map() })
  return xmlAnswer('CompleteMultipartUploadResult', { Bucket: bucket, Key: key, ETag: `"${etag}"` })
}

export function abortUpload(store: S3Store, call: Call, bucket: string, key: string): Answer {
  const id = parameter(call.query, 'uploadId') ?? ''
  store.upload(id, bucket, key)
  store.endUpload(id)
  return { status: 204 }
}

/** The list of parts: the only XML that the emulator reads, in the one shape that clients send. */
function readParts(text: string): { number: number; etag: string }[] {
  const parts = [...text.matchAll(/<Part>([^]*?)<\/Part>/g)].map(([, part = '']) => ({
    number: Number(/<PartNumber>(\d{1,5})<\/PartNumber>/.exec(part)?.[1]),
    etag: /<ETag>(?:"|&quot;|&#34;)?([0-9a-f]{32})(?:"|&quot;|&#34;)?<\/ETag>/.exec(part)?.[1] ?? '',
  }))
  if (parts.length > 0 && parts.length <= maxPartNumber) return parts
  throw new AwsError(400, 'MalformedXML', 'The XML you provided was not well-formed')
}
