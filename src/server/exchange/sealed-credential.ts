import { createHash } from 'node:crypto'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import { stsEndpoint, type ExchangeTarget } from './aws.ts'

/**
 * A digest of what decides the rights of a credential: one that was issued under another must not serve. A
 * change of the lifetimes alone counts from the next refresh.
 */
export function rightsOf({ spiffeId, aws }: ExchangeTarget): string {
  const { roleArn, audience, idTokenClaims } = aws
  const rights = [spiffeId, stsEndpoint(aws).href, roleArn, audience ?? null, idTokenClaims ?? null]
  return createHash('sha256').update(JSON.stringify(rights)).digest('hex')
}

/** Where custody keeps credentials. */
export const sealedPrefix = 'exchange/'

export function sealedName({
  sourceName,
  spiffeId,
}: Pick<ExchangeTarget, 'sourceName' | 'spiffeId'>): string {
  return `${sealedPrefix}${sourceName}/${spiffeId}`
}

/** The key of the credential that custody keeps under a name. */
export function keyOfSealed(name: string): string {
  return name.slice(sealedPrefix.length).replace('/spiffe://', ' spiffe://')
}

/** What custody keeps of a credential. */
export function encodeCredential(credential: AwsCredential, rights: string): Secret {
  const { secretAccessKey, sessionToken, ...open } = credential
  return Secret.of(
    JSON.stringify({
      ...open,
      rights,
      secretAccessKey: secretAccessKey.reveal().toString('base64'),
      sessionToken: sessionToken.reveal().toString('base64'),
    }),
  )
}

function parse(sealed: Secret): Record<string, unknown> {
  try {
    return JSON.parse(sealed.revealText()) as Record<string, unknown>
  } catch {
    // SECURITY: the parser's own error quotes the text.
    return {}
  }
}

/** Undefined for a credential of other rights, or of a form that this version does not know. */
export function decodeCredential(sealed: Secret, rights: string): AwsCredential | undefined {
  const value = parse(sealed)
  if (value['rights'] !== rights || value['kind'] !== 'aws') return undefined
  const bytes = (name: string) => Secret.of(Buffer.from(String(value[name]), 'base64'))
  return {
    kind: 'aws',
    accessKeyId: String(value['accessKeyId']),
    secretAccessKey: bytes('secretAccessKey'),
    sessionToken: bytes('sessionToken'),
    issuedAt: Number(value['issuedAt']),
    expiresAt: Number(value['expiresAt']),
  }
}
