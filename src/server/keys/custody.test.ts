import assert from 'node:assert/strict'
import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { isFault } from '#base/errors'
import { Secret } from '#base/secret'
import { openMemoryStore, type Store } from '#server/store'
import { openCustody } from './index.ts'

const makeKey = () => createSecretKey(randomBytes(32))
const faulty = (code: 'STORE_CORRUPT' | 'SEALING_KEY_WRONG') => (error: unknown) => isFault(error, code)

async function contents(store: Store): Promise<string> {
  const { entries } = await store.list('')
  return Buffer.concat(entries.map(({ value }) => value)).toString('latin1')
}

describe('custody', () => {
  it('gives back what it was given, under a new opening too', async () => {
    const store = openMemoryStore()
    const key = makeKey()
    await (await openCustody(store, key)).save('a/b', Secret.of('swordfish'))
    const reopened = await openCustody(store, key)
    assert.equal((await reopened.load('a/b'))?.revealText(), 'swordfish')
    assert.equal(await reopened.load('a/c'), undefined)
    assert.deepEqual(await reopened.names('a/'), ['a/b'])
    await reopened.remove('a/b')
    assert.equal(await reopened.load('a/b'), undefined)
  })

  it('follows what is sealed under a prefix, and leaves out what does not open', async () => {
    const store = openMemoryStore()
    const custody = await openCustody(store, makeKey())
    await custody.save('a/b', Secret.of('one'))
    await custody.save('c', Secret.of('other'))
    const stop = new AbortController()
    const seen: string[] = []
    for await (const { all, changed } of custody.follow('a/', { signal: stop.signal })) {
      for (const [name, secret] of changed) seen.push(`${all} ${name} ${secret?.revealText()}`)
      if (seen.length === 1) await custody.save('a/b', Secret.of('two'))
      if (seen.length === 2) await custody.remove('a/b')
      if (seen.length === 3) {
        await store.transaction([], [{ type: 'put', key: '/custody/a/d', value: Buffer.from('noise') }])
      }
      if (seen.length === 4) stop.abort()
    }
    assert.deepEqual(seen, ['true a/b one', 'false a/b two', 'false a/b undefined', 'false a/d undefined'])
  })

  it('leaves no secret in the store', async () => {
    const store = openMemoryStore()
    const custody = await openCustody(store, makeKey())
    await custody.save('a', Secret.of('swordfish'))
    assert.ok(!(await contents(store)).includes('swordfish'))
  })

  it('refuses another sealing key and changes nothing', async () => {
    const store = openMemoryStore()
    const key = makeKey()
    await (await openCustody(store, key)).save('a', Secret.of('kept'))
    const before = await contents(store)
    await assert.rejects(openCustody(store, makeKey()), faulty('SEALING_KEY_WRONG'))
    assert.equal(await contents(store), before)
    assert.equal((await (await openCustody(store, key)).load('a'))?.revealText(), 'kept')
  })

  it('does not open a value that was moved under another name or altered', async () => {
    const store = openMemoryStore()
    const custody = await openCustody(store, makeKey())
    await custody.save('mine', Secret.of('x'))
    const { value } = (await store.get('/custody/mine'))!
    await store.transaction([], [{ type: 'put', key: '/custody/yours', value }])
    await assert.rejects(custody.load('yours'), faulty('STORE_CORRUPT'))
    for (const [index, byte] of value.entries()) {
      const altered = Uint8Array.from(value)
      altered[index] = byte ^ 1
      await store.transaction([], [{ type: 'put', key: '/custody/mine', value: altered }])
      await assert.rejects(custody.load('mine'), faulty('STORE_CORRUPT'))
    }
    await store.transaction([], [{ type: 'put', key: '/custody/mine', value: new Uint8Array(3) }])
    await assert.rejects(custody.load('mine'), faulty('STORE_CORRUPT'))
  })

  it('lets one of many creators win, and gives the others what it created', async () => {
    const store = openMemoryStore()
    const key = makeKey()
    const openings = await Promise.all(Array.from({ length: 20 }, () => openCustody(store, key)))
    const keys = await Promise.all(
      openings.map((custody) =>
        custody.privateKey('root', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
      ),
    )
    assert.ok(keys.every((one) => one.equals(keys[0]!)))
  })
})
