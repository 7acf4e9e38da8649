import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { controlRoutes } from './control-routes.ts'

test('a process of another user is not attested only to refuse it then', async () => {
  const unused = {} as never
  const attestor = new Proxy({} as never, {
    get: () => assert.fail('nothing is asked of the attestor'),
  })
  const parts = { judge: unused, trustListeners: unused, attestor }
  const routes = controlRoutes({
    ...parts,
    status: () => ({}),
    isReady: () => true,
    facts: () => unused,
    conditionsFor: () => [],
    lookUp: unused,
  })
  const attest = routes.find(({ path }) => path === '/attest')!
  const stranger = { uid: process.getuid!() + 1, pid: 1, trusted: false }
  await assert.rejects(attest.answer({ pid: process.pid }, stranger), (error) =>
    isFault(error, 'API_FORBIDDEN'),
  )
})
