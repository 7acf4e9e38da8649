// kube-apiserver and our API, asked the same: what they answer differs only where it is meant to
// (apiserver/on-purpose.ts). By hand: npm run test:peers; needs Go, and a quarter of an hour for the first build
// ($TIDEWAY_PEERS keeps it), or $TIDEWAY_KUBERNETES, a folder that has kube-apiserver and etcd. Two minutes after that.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { applies } from './apiserver/cases/applies.ts'
import { creates } from './apiserver/cases/creates.ts'
import { deletes } from './apiserver/cases/deletes.ts'
import { places } from './apiserver/cases/places.ts'
import { reads } from './apiserver/cases/reads.ts'
import { updates } from './apiserver/cases/updates.ts'
import { versions } from './apiserver/cases/versions.ts'
import { answersTo } from './apiserver/exchange.ts'
import { differences } from './apiserver/normal.ts'
import { documentsOf, operationsOf, questionsOf } from './apiserver/openapi.ts'
import { reasonFor } from './apiserver/on-purpose.ts'
import { makeNamespace, openKubernetes, openTideway, type Server } from './apiserver/servers.ts'
import { buildKubernetes } from './programs.ts'

const stack = new AsyncDisposableStack()
let ours: Server
let theirs: Server

before(async () => {
  const programs = await buildKubernetes()
  theirs = stack.use(await openKubernetes(programs))
  ours = stack.use(await openTideway())
})
after(() => stack.disposeAsync())

for (const table of [reads, creates, updates, applies, deletes, places, versions]) {
  test(table.name, async (t) => {
    for (const server of [ours, theirs]) await makeNamespace(server, table.name)
    const [our, their] = await Promise.all(
      [ours, theirs].map((server) => Array.fromAsync(answersTo(server, table))),
    )
    for (const [index, { name }] of table.cases.entries()) {
      const found = differences(our![index]!, their![index]!)
      const reason = reasonFor(table.name, name)
      await t.test(name, () => {
        if (reason === undefined) assert.deepEqual(found, [])
        else assert.ok(found.length > 0, `no longer differs: ${reason}`)
      })
    }
  })
}

test('openapi', async (t) => {
  const [our, their] = await Promise.all([ours, theirs].map((server) => documentsOf(server)))
  for (const [name, url] of our!) {
    await t.test(name, async () => {
      const expected = await operationsOf(theirs, their!.get(name)!)
      const found = await operationsOf(ours, url)
      // Theirs are deleted one by one.
      found.delete('delete /api/v1/namespaces')
      for (const [place, operation] of found) assert.deepEqual(operation, expected.get(place), place)
      assert.deepEqual(await questionsOf(ours, url), await questionsOf(theirs, their!.get(name)!))
    })
  }
})
