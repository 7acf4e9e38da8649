const authority =
  'set spec.caBundle of its Service to the authority, or have the host send the certificates between'

/** By code of Node.js; of the TLS library less `ERR_SSL_` and the version of TLS, which differ between releases. */
const words: Readonly<Record<string, string>> = {
  // Of a certificate that was shown to us.
  CERT_HAS_EXPIRED:
    'it, or one that it rests on, has expired: whoever runs the host has to renew it, unless the clock of this node is wrong',
  CERT_NOT_YET_VALID: 'it is not valid yet: look at the clock of this node',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'it is self-signed: set spec.caBundle of its Service to it, if it is the right one',
  SELF_SIGNED_CERT_IN_CHAIN: `its root is not trusted (a self-signed certificate in its chain): ${authority}`,
  UNABLE_TO_GET_ISSUER_CERT: `its issuer is not known: ${authority}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `its issuer is not known: ${authority}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `its issuer is not known: ${authority}`,
  ERR_TLS_CERT_ALTNAME_INVALID: 'the name does not match: does the connection lead to the right host?',
  INVALID_PURPOSE: 'it is not meant for servers',
  CERT_SIGNATURE_FAILURE: 'its signature is wrong',
  // Of what the other side told, or did.
  ALERT_PROTOCOL_VERSION: 'the other side takes neither TLS 1.2 nor 1.3',
  ALERT_HANDSHAKE_FAILURE:
    'the other side refused: it shares no cipher with us, or wants a client certificate, of which there is none',
  ALERT_CERTIFICATE_REQUIRED: 'the other side wants a client certificate, and there is none to show',
  ALERT_INSUFFICIENT_SECURITY: 'the other side wants stronger ciphers',
  ALERT_UNRECOGNIZED_NAME: 'the other side does not serve this name',
  ALERT_NO_APPLICATION_PROTOCOL: 'the other side speaks neither HTTP/2 nor HTTP/1.1',
  ALERT_INTERNAL_ERROR: 'the other side reports an error of its own',
  ALERT_UNKNOWN_CA: 'the other side does not trust the authority of our certificate',
  ALERT_BAD_CERTIFICATE: 'the other side does not take our certificate',
  ALERT_CERTIFICATE_UNKNOWN: 'the other side does not take our certificate',
  ALERT_CERTIFICATE_EXPIRED: 'the other side takes our certificate for expired: look at its clock',
  UNSUPPORTED_PROTOCOL: 'the other side takes neither TLS 1.2 nor 1.3',
  NO_SHARED_CIPHER: 'the other side offers no cipher that we take',
  NO_APPLICATION_PROTOCOL: 'the other side speaks neither HTTP/2 nor HTTP/1.1',
  WRONG_VERSION_NUMBER: 'what answers there does not speak TLS: is it the right port?',
  PACKET_LENGTH_TOO_LONG: 'what answers there does not speak TLS: is it the right port?',
  HTTP_REQUEST: 'the other side speaks HTTP without TLS',
  NO_RENEGOTIATION: 'the other side asked to renegotiate, which is refused',
}

/** Names that a certificate is for are shown up to this many characters: others write them. */
const maxNames = 200

/** What failed, without white space or versions in it: `ALERT_UNKNOWN_CA`; empty where nothing tells. */
export function tlsReason(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return code.replace(/^ERR_SSL_(?:(?:TLSV1|TLSV13|SSLV3|SSL\/TLS)_)?/, '')
}

/** What failed, and what to do; the library's own code where it is not known, and the message where there is none. */
export function tellTlsFailure(error: Error): string {
  const reason = tlsReason(error)
  const told = words[reason]
  if (told === undefined) return error.message.includes(':error:') ? reason : error.message
  return told + namesOf(error)
}

function namesOf(error: Error): string {
  const { cert } = error as { cert?: { subjectaltname?: string } }
  const names = cert?.subjectaltname
  return names === undefined ? '' : ` It is for ${names.slice(0, maxNames)}`
}
