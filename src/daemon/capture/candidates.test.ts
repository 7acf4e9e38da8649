import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseSpiffeId } from '#model/identity'
import type { ScopedIdentity, SelectorMap } from '#model/scope'
import { compileCandidates, type CandidateSources } from './candidates.ts'

const files = new Map([
  ['/usr/bin/curl', { device: 8, inode: 11n }],
  ['/usr/bin/wget', { device: 8, inode: 12n }],
])
const sources: CandidateSources = {
  resolveExecutable: (path) => files.get(path),
  resolveCgroups: (key, value) =>
    key === 'systemd:unit' && value === 'app.service' ? [{ id: 99n, level: 2 }] : undefined,
}

function identity(selectors: readonly SelectorMap[], captureAll = false): ScopedIdentity {
  return {
    name: 'app',
    spiffeId: parseSpiffeId('spiffe://example.org/app'),
    selectors,
    captureAll,
    intercept: true,
  }
}

const compile = (...selectors: SelectorMap[]) => compileCandidates([identity(selectors)], sources)

describe('the candidate filter', () => {
  it('takes the most selective key of each selector', () => {
    const selector: SelectorMap = {
      'process:name': ['curl'],
      'process:gid': ['7'],
      'process:uid': ['5', '6'],
      'systemd:unit': ['app.service'],
      'process:binary:path': ['/usr/bin/curl'],
    }
    const without = (...keys: string[]) =>
      Object.fromEntries(Object.entries(selector).filter(([key]) => !keys.includes(key)))
    const order = ['process:binary:path', 'systemd:unit', 'process:uid', 'process:gid', 'process:name']
    const rules = order.map((_, index) => compile(without(...order.slice(0, index))).rules)
    assert.deepEqual(compile(without('process:uid')).rules, [{ kind: 'executable', device: 8, inode: 11n }])
    assert.deepEqual(rules, [
      [
        { kind: 'executable-and-uid', device: 8, inode: 11n, uid: 5 },
        { kind: 'executable-and-uid', device: 8, inode: 11n, uid: 6 },
      ],
      [{ kind: 'cgroup', id: 99n, level: 2 }],
      [
        { kind: 'uid', id: 5 },
        { kind: 'uid', id: 6 },
      ],
      [{ kind: 'gid', id: 7 }],
      [{ kind: 'name', name: 'curl' }],
    ])
  })

  it('covers every alternative: each selector, and each value', () => {
    const { rules } = compile(
      { 'process:binary:path': ['/usr/bin/curl', '/usr/bin/wget'] },
      { 'process:uid': ['0'] },
    )
    assert.equal(rules.length, 3)
  })

  it('takes executables alone where pairs with users would be too many', () => {
    const uids = Array.from({ length: 257 }, (_, uid) => String(uid))
    const { rules } = compile({ 'process:binary:path': ['/usr/bin/curl'], 'process:uid': uids })
    assert.deepEqual(rules, [{ kind: 'executable', device: 8, inode: 11n }])
  })

  it('leaves out an executable that is not there, for nothing can run it', () => {
    assert.deepEqual(compile({ 'process:binary:path': ['/usr/bin/absent'], 'process:uid': ['5'] }), {
      rules: [],
      captureAll: false,
      notCapturable: [],
    })
  })

  it('falls back to the next key where a cgroup cannot be said, or lies too deep', () => {
    assert.deepEqual(compile({ 'systemd:unit': ['other.service'], 'process:uid': ['5'] }).rules, [
      { kind: 'uid', id: 5 },
    ])
    const deep = compileCandidates([identity([{ 'docker:label': ['x'], 'process:uid': ['5'] }])], {
      ...sources,
      resolveCgroups: (key) => (key === 'docker:label' ? [{ id: 1n, level: 8 }] : undefined),
    })
    assert.deepEqual(deep.rules, [{ kind: 'uid', id: 5 }])
  })

  it('reports a selector that the kernel cannot test, by identity and keys', () => {
    const { rules, notCapturable } = compile(
      { 'process:uid': ['5'] },
      { 'process:cmdline': ['/usr/bin/app --serve'], 'process:env:APP': ['1'] },
    )
    assert.equal(rules.length, 1)
    assert.equal(notCapturable.length, 1)
    assert.equal(notCapturable[0]!.identity, 'app')
    assert.match(notCapturable[0]!.reason, /process:cmdline, process:env:APP/)
  })

  it('takes every process where an identity says so, and then reports nothing of it', () => {
    const compiled = compileCandidates([identity([{ 'process:cmdline': ['x'] }], true)], sources)
    assert.deepEqual(compiled, { rules: [], captureAll: true, notCapturable: [] })
  })

  it('never matches by an id that is none', () => {
    assert.deepEqual(compile({ 'process:uid': ['root', '-1', '1e3', '0x10', ''] }).rules, [])
  })
})
