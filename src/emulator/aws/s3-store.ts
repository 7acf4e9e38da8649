import type { EpochMs } from '#base/clock'
import { AwsError } from './aws-error.ts'

export interface StoredObject {
  readonly body: Buffer
  /** Without quotes. */
  readonly etag: string
  readonly modifiedAt: EpochMs
  /** Headers to give back: content-type and its like, x-amz-meta-*. */
  readonly headers: Readonly<Record<string, string>>
  /** x-amz-checksum-* -> base64. */
  readonly checksums: ReadonlyMap<string, string>
}

export interface Upload {
  readonly bucket: string
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly startedAt: EpochMs
  readonly parts: Map<number, { body: Buffer; etag: string }>
}

interface Bucket {
  readonly region: string
  readonly createdAt: EpochMs
  readonly objects: Map<string, StoredObject>
}

const maxBytes = 256 << 20
const maxObjects = 100_000
const maxBuckets = 100
const maxUploads = 100

/** Buckets, objects and unfinished uploads, in memory: 256 MiB together; what does not fit is refused. */
export class S3Store {
  readonly buckets = new Map<string, Bucket>()
  readonly uploads = new Map<string, Upload>()
  #bytes = 0
  #objects = 0

  createBucket(name: string, bucket: Bucket): void {
    if (this.buckets.size >= maxBuckets) {
      throw new AwsError(400, 'TooManyBuckets', 'You have attempted to create more buckets than allowed')
    }
    this.buckets.set(name, bucket)
  }

  bucket(name: string): Bucket {
    const bucket = this.buckets.get(name)
    if (!bucket)
      throw new AwsError(404, 'NoSuchBucket', 'The specified bucket does not exist', { BucketName: name })
    return bucket
  }

  object(bucket: string, key: string): StoredObject {
    const object = this.bucket(bucket).objects.get(key)
    if (!object) throw new AwsError(404, 'NoSuchKey', 'The specified key does not exist.', { Key: key })
    return object
  }

  put(bucket: string, key: string, object: StoredObject): void {
    const { objects } = this.bucket(bucket)
    const old = objects.get(key)
    if (!old && this.#objects >= maxObjects) throw full()
    this.#claim(object.body.length - (old?.body.length ?? 0))
    if (!old) this.#objects++
    objects.set(key, object)
  }

  delete(bucket: string, key: string): void {
    const { objects } = this.bucket(bucket)
    const old = objects.get(key)
    if (!old) return
    objects.delete(key)
    this.#objects--
    this.#bytes -= old.body.length
  }

  startUpload(id: string, upload: Upload): void {
    if (this.uploads.size >= maxUploads) throw full()
    this.uploads.set(id, upload)
  }

  upload(id: string, bucket: string, key: string): Upload {
    const upload = this.uploads.get(id)
    if (upload?.bucket === bucket && upload.key === key) return upload
    throw new AwsError(404, 'NoSuchUpload', 'The specified multipart upload does not exist.')
  }

  putPart(upload: Upload, number: number, part: { body: Buffer; etag: string }): void {
    this.#claim(part.body.length - (upload.parts.get(number)?.body.length ?? 0))
    upload.parts.set(number, part)
  }

  endUpload(id: string): void {
    const upload = this.uploads.get(id)
    for (const { body } of upload?.parts.values() ?? []) this.#bytes -= body.length
    this.uploads.delete(id)
  }

  #claim(bytes: number): void {
    if (this.#bytes + bytes > maxBytes) throw full()
    this.#bytes += bytes
  }
}

function full(): AwsError {
  return new AwsError(503, 'SlowDown', 'The emulator keeps objects in memory, and its memory is full.')
}
