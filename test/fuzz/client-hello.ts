import assert from 'node:assert/strict'
import { parseClientHello } from '#wire/client-hello'
import { assertStable, bytesOf, type Target } from './target.ts'

export const clientHelloTarget: Target = {
  name: 'client-hello',
  tokens: bytesOf(
    '\x16\x03\x01',
    '\x01\x00',
    '\x00\x00\x00\x00',
    '\xff\xff',
    '\xfe\x0d',
    '\x00\x10',
    '\x00\x2b',
    'a.example',
    '10.0.0.1',
  ),
  check(input, random) {
    const hello = assertStable(parseClientHello, input, random)
    if (hello.kind === 'invalid') return hello.reason
    if (hello.kind !== 'hello') return hello.kind
    const { serverName = 'none', alpn, versions } = hello
    assert.match(serverName, /^[a-z0-9_.-]{1,253}$/)
    assert.ok(versions.length > 0)
    assert.ok(alpn.every((name) => name !== ''))
    const named = 'serverName' in hello ? 'named' : 'nameless'
    return `${named} alpn=${alpn.length > 0} ech=${hello.encryptedClientHello} versions=${Math.min(versions.length, 3)}`
  },
}
