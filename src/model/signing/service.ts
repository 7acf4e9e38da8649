/** Whether a signing name belongs to the S3 family: paths are keys, and a body need not be hashed. */
export function isS3(service: string): boolean {
  return s3Services.has(service)
}

const s3Services = new Set(['s3', 's3express', 's3-object-lambda', 's3-outposts'])
