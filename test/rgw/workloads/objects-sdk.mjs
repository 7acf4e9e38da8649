// The same with the AWS SDK for JavaScript, which wants keys and signs with them: objects-sdk.mjs ENDPOINT BUCKET
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'

const [endpoint, Bucket] = process.argv.slice(2)
const s3 = new S3Client({
  endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  maxAttempts: 1,
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'none' },
})
await s3.send(new CreateBucketCommand({ Bucket }))
const keys = ['plain', "a b+~!'()*é☃", '%2F//%', 'dots/./and/../more']
for (const Key of keys) {
  const Body = randomBytes(100_000)
  await s3.send(new PutObjectCommand({ Bucket, Key, Body, Metadata: { 'written-by': 'a  workload' } }))
  const answer = await s3.send(new GetObjectCommand({ Bucket, Key }))
  assert.ok(Body.equals(await answer.Body.transformToByteArray()), Key)
  const { ContentLength } = await s3.send(new HeadObjectCommand({ Bucket, Key }))
  assert.equal(ContentLength, Body.length)
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: Key }))
  assert.deepEqual(
    Contents.map((found) => found.Key),
    [Key],
  )
}
// A checksum behind a stream of announced chunks is what this Ceph does not know: its answer, and not ours, arrives.
const streamed = () =>
  new PutObjectCommand({ Bucket, Key: 'stream', Body: Readable.from([Buffer.alloc(9)]), ContentLength: 9 })
await assert.rejects(s3.send(streamed()), { name: 'MissingContentLength' })
s3.config.requestChecksumCalculation = async () => 'WHEN_REQUIRED'
await s3.send(streamed())
keys.push('stream')
await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }))
const { KeyCount } = await s3.send(new ListObjectsV2Command({ Bucket }))
assert.equal(KeyCount, 0)
