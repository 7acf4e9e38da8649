import { generateKeyPairSync } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, SignJWT, type JWTPayload } from 'jose'

const foreignKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey

/** A token that says what `token` says, with `changes`, signed by somebody else's key. */
export async function forge(token: string, changes: JWTPayload = {}): Promise<string> {
  const { kid } = decodeProtectedHeader(token)
  return await new SignJWT({ ...decodeJwt(token), ...changes })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...(kid !== undefined && { kid }) })
    .sign(foreignKey)
}
