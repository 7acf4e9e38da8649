import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestServer } from './test-server.ts'

test('probes answer anyone, and say what is waited for', async () => {
  await using server = await openTestServer()
  const ask = async (path: string) => {
    const { status, body } = await server.ask('GET', path, { authorization: null })
    return `${status} ${body}`
  }
  for (const path of ['/healthz', '/livez', '/readyz']) assert.equal(await ask(path), '200 ok')
  assert.equal(await ask('/readyz?verbose'), '200 [+]ping ok\nreadyz check passed\n')
  const release = server.readiness.block('store')
  assert.equal(await ask('/livez?verbose=true'), '200 [+]ping ok\nlivez check passed\n')
  assert.equal(
    await ask('/readyz'),
    '503 [+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n',
  )
  release()
  assert.equal(await ask('/readyz'), '200 ok')
  let wrong: string | undefined = 'no room left on /dev/sda1'
  server.readiness.require('store', async () => wrong)
  assert.equal(await ask('/livez'), '200 ok')
  assert.equal(
    await ask('/readyz'),
    '503 [+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n',
  )
  wrong = undefined
  assert.equal(await ask('/readyz'), '200 ok')
})
