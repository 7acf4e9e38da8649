import { AwsError } from './aws-error.ts'
import type { ServiceName } from './call.ts'
import { protocols, type Protocol } from './protocol.ts'

/** Why a request was not accepted as coming from whom it claims. */
export type AuthFailure =
  | 'missing'
  | 'malformed'
  | 'unknown-key'
  | 'invalid-token'
  | 'expired-token'
  | 'wrong-region'
  | 'wrong-service'
  | 'skewed'
  | 'expired-url'
  | 'unsigned-header'
  | 'payload-mismatch'
  | 'signature-mismatch'

type Row = readonly [status: number, code: string]

const query: Readonly<Record<AuthFailure, Row>> = {
  missing: [403, 'MissingAuthenticationToken'],
  malformed: [400, 'IncompleteSignature'],
  'unknown-key': [403, 'InvalidClientTokenId'],
  'invalid-token': [403, 'InvalidClientTokenId'],
  'expired-token': [403, 'ExpiredToken'],
  'wrong-region': [403, 'SignatureDoesNotMatch'],
  'wrong-service': [403, 'SignatureDoesNotMatch'],
  skewed: [403, 'SignatureDoesNotMatch'],
  'expired-url': [403, 'SignatureDoesNotMatch'],
  'unsigned-header': [403, 'SignatureDoesNotMatch'],
  'payload-mismatch': [403, 'SignatureDoesNotMatch'],
  'signature-mismatch': [403, 'SignatureDoesNotMatch'],
}

const s3: Readonly<Record<AuthFailure, Row>> = {
  missing: [403, 'AccessDenied'],
  malformed: [400, 'AuthorizationHeaderMalformed'],
  'unknown-key': [403, 'InvalidAccessKeyId'],
  'invalid-token': [400, 'InvalidToken'],
  'expired-token': [400, 'ExpiredToken'],
  'wrong-region': [400, 'AuthorizationHeaderMalformed'],
  'wrong-service': [400, 'AuthorizationHeaderMalformed'],
  skewed: [403, 'RequestTimeTooSkewed'],
  'expired-url': [403, 'AccessDenied'],
  'unsigned-header': [403, 'AccessDenied'],
  'payload-mismatch': [400, 'XAmzContentSHA256Mismatch'],
  'signature-mismatch': [403, 'SignatureDoesNotMatch'],
}

const jsonCodes: Readonly<Record<AuthFailure, string>> = {
  missing: 'MissingAuthenticationTokenException',
  malformed: 'IncompleteSignatureException',
  'unknown-key': 'UnrecognizedClientException',
  'invalid-token': 'UnrecognizedClientException',
  'expired-token': 'ExpiredTokenException',
  'wrong-region': 'InvalidSignatureException',
  'wrong-service': 'InvalidSignatureException',
  skewed: 'InvalidSignatureException',
  'expired-url': 'InvalidSignatureException',
  'unsigned-header': 'InvalidSignatureException',
  'payload-mismatch': 'InvalidSignatureException',
  'signature-mismatch': 'InvalidSignatureException',
}

const rows: Readonly<Record<Protocol, (failure: AuthFailure) => Row>> = {
  query: (failure) => query[failure],
  s3: (failure) => s3[failure],
  json: (failure) => [400, jsonCodes[failure]],
  'rest-json': (failure) => [403, jsonCodes[failure]],
}

const messages: Readonly<Partial<Record<AuthFailure, string>>> = {
  missing: 'Missing Authentication Token',
  'unknown-key': 'The security token included in the request is invalid.',
  'invalid-token': 'The security token included in the request is invalid.',
  'expired-token': 'The security token included in the request is expired',
  'signature-mismatch':
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret ' +
    'Access Key and signing method. Consult the service documentation for details.',
}

const s3Messages: Readonly<Partial<Record<AuthFailure, string>>> = {
  missing: 'Access Denied',
  'unknown-key': 'The AWS Access Key Id you provided does not exist in our records.',
  'invalid-token': 'The provided token is malformed or otherwise invalid.',
  'expired-token': 'The provided token has expired.',
  skewed: 'The difference between the request time and the current time is too large.',
  'expired-url': 'Request has expired',
  'unsigned-header': 'There were headers present in the request which were not signed',
  'payload-mismatch': "The provided 'x-amz-content-sha256' header does not match what was computed.",
}

/** The refusal in the words of the service; `detail` is used where the service has no fixed text. */
export function authRefusal(
  service: ServiceName,
  failure: AuthFailure,
  detail?: string,
  details?: Readonly<Record<string, string>>,
): AwsError {
  const [status, code] = rows[protocols[service]](failure)
  const isS3 = service === 's3'
  const message = (isS3 ? (s3Messages[failure] ?? detail) : detail) ?? messages[failure] ?? failure
  return new AwsError(status, code, message, isS3 ? details : undefined)
}

/** The refusal for lack of permission. */
export function accessDenied(service: ServiceName, message: string): AwsError {
  const protocol = protocols[service]
  if (protocol === 'json') return new AwsError(400, 'AccessDeniedException', message)
  if (protocol === 'rest-json') return new AwsError(403, 'AccessDeniedException', message)
  return new AwsError(403, 'AccessDenied', message)
}
