import { AwsError } from './aws-error.ts'
import { parameter, type Answer, type Call, type Service } from './call.ts'
import {
  bucketLocation,
  createBucket,
  deleteBucket,
  headBucket,
  listBuckets,
  listObjects,
} from './s3-buckets.ts'
import { abortUpload, completeUpload, createUpload, uploadPart } from './s3-multipart.ts'
import { deleteObject, getObject, putObject } from './s3-objects.ts'
import { S3Store } from './s3-store.ts'

type Run = (store: S3Store, call: Call, bucket: string, key: string) => Answer

/** `subresource` holds the query parameters that select the operation, in order. */
type Row = readonly [
  level: Level,
  method: string,
  subresource: string,
  name: string,
  action: string,
  run: Run,
]
type Level = 'service' | 'bucket' | 'object'

const rows: readonly Row[] = [
  ['bucket', 'PUT', '', 'CreateBucket', 's3:CreateBucket', createBucket],
  ['bucket', 'HEAD', '', 'HeadBucket', 's3:ListBucket', headBucket],
  ['bucket', 'GET', 'location', 'GetBucketLocation', 's3:GetBucketLocation', bucketLocation],
  ['bucket', 'GET', 'list-type', 'ListObjectsV2', 's3:ListBucket', listObjects],
  ['bucket', 'DELETE', '', 'DeleteBucket', 's3:DeleteBucket', deleteBucket],
  ['object', 'PUT', '', 'PutObject', 's3:PutObject', putObject],
  ['object', 'GET', '', 'GetObject', 's3:GetObject', getObject],
  ['object', 'HEAD', '', 'HeadObject', 's3:GetObject', getObject],
  ['object', 'DELETE', '', 'DeleteObject', 's3:DeleteObject', deleteObject],
  ['object', 'POST', 'uploads', 'CreateMultipartUpload', 's3:PutObject', createUpload],
  ['object', 'PUT', 'partNumber,uploadId', 'UploadPart', 's3:PutObject', uploadPart],
  ['object', 'POST', 'uploadId', 'CompleteMultipartUpload', 's3:PutObject', completeUpload],
  ['object', 'DELETE', 'uploadId', 'AbortMultipartUpload', 's3:AbortMultipartUpload', abortUpload],
]

/** Parameters that modify an operation or belong to signing; any other selects one, known to us or not. */
const modifiers = new Set([
  'prefix',
  'delimiter',
  'max-keys',
  'continuation-token',
  'start-after',
  'encoding-type',
  'fetch-owner',
  'x-id',
])

/** Amazon S3 in memory: buckets, objects, ranges, multipart uploads, ListObjectsV2. No versions, no ACLs. */
export function openS3(accountId: string): Service {
  const store = new S3Store()
  const table: readonly Row[] = [
    ['service', 'GET', '', 'ListBuckets', 's3:ListAllMyBuckets', () => listBuckets(store, accountId)],
    ...rows,
  ]
  return {
    plan(call) {
      const [bucket = '', ...rest] = call.segments
      const key = rest.join('/')
      const level: Level = bucket === '' ? 'service' : key === '' ? 'bucket' : 'object'
      const selectors = [...call.query.keys()].filter(
        (name) => !modifiers.has(name) && !name.toLowerCase().startsWith('x-amz-'),
      )
      const subresource = selectors.toSorted().join(',')
      const row = table.find(
        (each) => each[0] === level && each[1] === call.method && each[2] === subresource,
      )
      if (!row) {
        throw new AwsError(501, 'NotImplemented', 'This operation is not implemented by the emulator', {
          Operation: `${call.method} ${level}${subresource === '' ? '' : `?${subresource}`}`,
        })
      }
      const [, , , name, action, run] = row
      const prefix = parameter(call.query, 'prefix')
      return {
        name,
        permissions: [
          {
            action,
            resource:
              level === 'service' ? '*' : `arn:aws:s3:::${level === 'object' ? `${bucket}/${key}` : bucket}`,
            ...(prefix === undefined ? {} : { context: { 's3:prefix': prefix } }),
          },
        ],
        run: () => run(store, call, bucket, key),
      }
    },
  }
}
