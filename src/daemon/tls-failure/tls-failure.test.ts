import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tellTlsFailure, tlsReason } from './index.ts'

const failure = (code: string, message = 'raw') => Object.assign(new Error(message), { code })

test('the same alert is told alike, however a release of the TLS library spells it', () => {
  for (const version of ['TLSV1', 'TLSV13', 'SSLV3', 'SSL/TLS']) {
    assert.equal(tlsReason(failure(`ERR_SSL_${version}_ALERT_UNKNOWN_CA`)), 'ALERT_UNKNOWN_CA')
  }
})

test('of what is not known the code is told, not the text of the library', () => {
  const raw = '4083:error:0A000086:SSL routines:ssl3_read_bytes:something new:../deps/openssl/ssl.c:1:'
  assert.equal(tellTlsFailure(failure('ERR_SSL_SOMETHING_NEW', raw)), 'SOMETHING_NEW')
  assert.equal(tellTlsFailure(failure('ECONNRESET', 'read ECONNRESET')), 'read ECONNRESET')
  assert.equal(tellTlsFailure(new Error('no TLS handshake within 5 ms')), 'no TLS handshake within 5 ms')
})

test('names that a certificate is for are cut off', () => {
  const cert = { subjectaltname: 'DNS:x.example, '.repeat(1000) }
  const told = tellTlsFailure(Object.assign(failure('ERR_TLS_CERT_ALTNAME_INVALID'), { cert }))
  assert.ok(told.includes('It is for DNS:x.example') && told.length < 400)
})
