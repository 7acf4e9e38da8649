/**
 * A refusal in AWS's own terms: part of the protocol that is emulated, hence not a `Fault` of ours.
 * `code` is written as the query protocols have it; each protocol's renderer gives it its own form.
 */
export class AwsError extends Error {
  readonly status: number
  readonly code: string
  /** Further elements of S3's error document. */
  readonly details: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, details: Readonly<Record<string, string>> = {}) {
    super(message)
    this.name = 'AwsError'
    this.status = status
    this.code = code
    this.details = details
  }
}
