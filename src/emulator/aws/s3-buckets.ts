import { encodeRfc3986 } from '#emulator/sigv4'
import { AwsError } from './aws-error.ts'
import { parameter, type Answer, type Call } from './call.ts'
import { xmlNamespaces } from './protocol.ts'
import type { S3Store } from './s3-store.ts'
import { xmlDocument, type XmlValue } from './xml.ts'

export function xmlAnswer(root: string, value: XmlValue): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: xmlDocument(root, xmlNamespaces.s3, value),
  }
}

export function listBuckets(store: S3Store, accountId: string): Answer {
  const buckets = [...store.buckets].map(([Name, { createdAt }]) => ({
    Name,
    CreationDate: new Date(createdAt).toISOString(),
  }))
  return xmlAnswer('ListAllMyBucketsResult', {
    Owner: { ID: accountId, DisplayName: 'emulator' },
    Buckets: { Bucket: buckets },
  })
}

export function createBucket(store: S3Store, call: Call, name: string): Answer {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    throw new AwsError(400, 'InvalidBucketName', 'The specified bucket is not valid.', { BucketName: name })
  }
  if (store.buckets.has(name)) {
    throw new AwsError(
      409,
      'BucketAlreadyOwnedByYou',
      'Your previous request to create the bucket succeeded.',
    )
  }
  store.createBucket(name, { region: call.region, createdAt: call.at, objects: new Map() })
  return { status: 200, headers: { location: `/${name}` } }
}

export function headBucket(store: S3Store, _call: Call, name: string): Answer {
  return { status: 200, headers: { 'x-amz-bucket-region': store.bucket(name).region } }
}

export function bucketLocation(store: S3Store, _call: Call, name: string): Answer {
  const { region } = store.bucket(name)
  return xmlAnswer('LocationConstraint', region === 'us-east-1' ? '' : region)
}

export function deleteBucket(store: S3Store, _call: Call, name: string): Answer {
  if (store.bucket(name).objects.size > 0) {
    throw new AwsError(409, 'BucketNotEmpty', 'The bucket you tried to delete is not empty')
  }
  store.buckets.delete(name)
  return { status: 204 }
}

/** ListObjectsV2 with prefix, delimiter, start-after and pages. */
export function listObjects(store: S3Store, call: Call, name: string): Answer {
  const { objects } = store.bucket(name)
  const prefix = parameter(call.query, 'prefix') ?? ''
  const delimiter = parameter(call.query, 'delimiter') ?? ''
  const token = parameter(call.query, 'continuation-token')
  const startAfter = parameter(call.query, 'start-after')
  const maxKeys = Math.min(1000, readCount(parameter(call.query, 'max-keys')))
  const encode = parameter(call.query, 'encoding-type') === 'url' ? encodeRfc3986 : (text: string) => text
  const after = token === undefined ? (startAfter ?? '') : Buffer.from(token, 'base64url').toString('utf8')

  const prefixes = new Set<string>()
  const contents: XmlValue[] = []
  let last = ''
  let truncated = false
  for (const key of [...objects.keys()].filter((each) => each.startsWith(prefix)).sort(inByteOrder)) {
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const group = cut < 0 ? undefined : key.slice(0, cut + delimiter.length)
    // A page that ended in a group continues behind all of the group.
    if (inByteOrder(key, after) <= 0 || (group !== undefined && (group === after || prefixes.has(group))))
      continue
    if (contents.length + prefixes.size >= maxKeys) {
      truncated = true
      break
    }
    last = group ?? key
    if (group !== undefined) {
      prefixes.add(group)
      continue
    }
    const object = objects.get(key)
    if (!object) continue
    contents.push({
      Key: encode(key),
      LastModified: new Date(object.modifiedAt).toISOString(),
      ETag: `"${object.etag}"`,
      Size: object.body.length,
      StorageClass: 'STANDARD',
    })
  }
  return xmlAnswer('ListBucketResult', {
    Name: name,
    Prefix: encode(prefix),
    Delimiter: delimiter === '' ? undefined : encode(delimiter),
    StartAfter: startAfter === undefined ? undefined : encode(startAfter),
    EncodingType: parameter(call.query, 'encoding-type'),
    KeyCount: contents.length + prefixes.size,
    MaxKeys: maxKeys,
    IsTruncated: truncated,
    ContinuationToken: token,
    NextContinuationToken: truncated ? Buffer.from(last).toString('base64url') : undefined,
    Contents: contents,
    CommonPrefixes: [...prefixes].map((each) => ({ Prefix: encode(each) })),
  })
}

function readCount(text: string | undefined): number {
  if (text === undefined) return 1000
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new AwsError(400, 'InvalidArgument', 'Provided max-keys not an integer or within integer range')
}

function inByteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
