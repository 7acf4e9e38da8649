import { Reader } from './reader.ts'
import { readClientHelloBody } from './records.ts'
import { isIpLiteral, isDnsName } from './server-name.ts'

/** What the bytes so far are. `incomplete` asks for more of them; every other answer is final. */
export type ClientHello =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'not-tls' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | {
      readonly kind: 'hello'
      /** Lower-case DNS name of the server_name extension (RFC 6066 section 3); absent for an IP literal. */
      readonly serverName?: string
      /** Protocol names offered, in order (RFC 7301). */
      readonly alpn: readonly string[]
      /** An encrypted_client_hello extension is there (real or grease): `serverName` is then the outer name. */
      readonly encryptedClientHello: boolean
      /** Versions offered, such as 0x0304 for TLS 1.3. */
      readonly versions: readonly number[]
    }

const extension = {
  serverName: 0,
  applicationLayerProtocolNegotiation: 16,
  supportedVersions: 43,
  encryptedClientHello: 0xfe0d,
} as const

class Malformed extends Error {}

/** Reads a ClientHello of at most 16 KiB, in at most 64 records (RFC 8446 section 4.1.2). Never throws. */
export function parseClientHello(bytes: Uint8Array): ClientHello {
  const message = readClientHelloBody(bytes)
  if (message.kind !== 'body') return message
  try {
    return parseBody(Reader.open(message.body, malformed))
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'invalid', reason: error.message }
    throw error
  }
}

function malformed(reason: string): never {
  throw new Malformed(reason)
}

function parseBody(body: Reader): ClientHello {
  const legacyVersion = body.uint16()
  if (legacyVersion >> 8 !== 3) malformed('unknown protocol version')
  body.skip(32)
  if (body.vector8().remaining > 32) malformed('session id too long')
  const cipherSuites = body.vector16()
  if (cipherSuites.remaining < 2 || cipherSuites.remaining % 2 !== 0) malformed('malformed cipher suites')
  if (body.vector8().remaining === 0) malformed('no compression methods')

  let serverName: string | undefined
  let alpn: readonly string[] = []
  let versions: readonly number[] = [legacyVersion]
  let encryptedClientHello = false
  if (body.remaining > 0) {
    const extensions = body.vector16()
    if (body.remaining > 0) malformed('bytes after the extensions')
    const seen = new Set<number>()
    while (extensions.remaining > 0) {
      const type = extensions.uint16()
      const data = extensions.vector16()
      if (seen.has(type)) malformed('repeated extension')
      seen.add(type)
      if (type === extension.serverName) serverName = parseServerName(data)
      else if (type === extension.applicationLayerProtocolNegotiation) alpn = parseAlpn(data)
      else if (type === extension.supportedVersions) versions = parseVersions(data)
      else if (type === extension.encryptedClientHello) encryptedClientHello = true
    }
  }
  const hello = { kind: 'hello', alpn, encryptedClientHello, versions } as const
  return serverName === undefined ? hello : { ...hello, serverName }
}

function parseServerName(data: Reader): string | undefined {
  const names = data.vector16()
  const type = names.uint8()
  const name = names.vector16().text().toLowerCase()
  // Only host_name (0) was ever defined, and a list may hold one name of a type.
  if (type !== 0 || names.remaining > 0 || data.remaining > 0) malformed('malformed server name list')
  if (isIpLiteral(name)) return undefined
  if (!isDnsName(name)) malformed('server name is not a DNS name')
  return name
}

function parseAlpn(data: Reader): readonly string[] {
  const names = data.vector16()
  if (data.remaining > 0 || names.remaining === 0) malformed('malformed ALPN list')
  const alpn: string[] = []
  while (names.remaining > 0) {
    const name = names.vector8()
    if (name.remaining === 0) malformed('empty ALPN name')
    alpn.push(name.text())
  }
  return alpn
}

function parseVersions(data: Reader): readonly number[] {
  const list = data.vector8()
  if (data.remaining > 0 || list.remaining === 0) malformed('malformed supported versions')
  const versions: number[] = []
  while (list.remaining > 0) versions.push(list.uint16())
  return versions
}
