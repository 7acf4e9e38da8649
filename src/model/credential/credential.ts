import type { EpochMs } from '#base/clock'
import type { Secret } from '#base/secret'

/** Temporary credentials of AWS STS (AssumeRoleWithWebIdentity). The access key ID is not secret: audits name it. */
export interface AwsCredential {
  readonly kind: 'aws'
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken: Secret
  readonly issuedAt: EpochMs
  readonly expiresAt: EpochMs
}

/** The union stays open for other clouds: switch on `kind` and treat an unknown one as unusable. */
export type Credential = AwsCredential
