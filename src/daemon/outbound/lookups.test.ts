import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { openLookUps } from './lookups.ts'

/** Look-ups at a resolver that is asked for names and answers when it is told to. */
function openBench() {
  const clock = openTestClock()
  const asked = new Map<string, PromiseWithResolvers<readonly string[]>>()
  const resolve = (host: string) => {
    const answer = Promise.withResolvers<readonly string[]>()
    asked.set(host, answer)
    return answer.promise
  }
  const lookUp = openLookUps({ clock, timeoutMs: 1000, resolve })
  return { clock, lookUp, asked, answer: (host: string) => asked.get(host)!.resolve(['192.0.2.1']) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('who looks up many names whose servers are silent leaves room for others', async () => {
  const { clock, lookUp, asked, answer } = openBench()
  const flood = Promise.allSettled(Array.from({ length: 24 }, (_, index) => lookUp(`slow${index}`, 1000)))
  const other = lookUp('good', 2000)
  assert.deepEqual([...asked.keys()], ['slow0', 'slow1', 'good'])
  answer('good')
  assert.deepEqual(await other, ['192.0.2.1'])
  await clock.advance(1000)
  const reasons = (await flood).map((one) => String((one as PromiseRejectedResult).reason))
  assert.match(reasons[0]!, /no address within 1000 ms: its name servers are silent/)
  assert.match(reasons[23]!, /user 1000 looks up too many names/)
  // Their threads are still taken.
  const more = lookUp('more', 1000)
  await turn()
  assert.equal(asked.has('more'), false)
  answer('slow0')
  await turn()
  answer('more')
  assert.deepEqual(await more, ['192.0.2.1'])
})

test('users take turns', async () => {
  const { lookUp, asked, answer } = openBench()
  for (let uid = 1; uid <= 4; uid += 1) {
    for (let index = 0; index < 4; index += 1) void lookUp(`${uid}-${index}`, uid)
  }
  void lookUp('fifth', 5)
  assert.equal(asked.size, 8)
  for (const host of ['1-0', '2-0', '3-0', '4-0', '1-1']) {
    answer(host)
    await turn()
  }
  assert.ok(asked.has('fifth'))
})

test('look-ups of one name are one', async () => {
  const { lookUp, asked, answer } = openBench()
  const both = [lookUp('host', 1), lookUp('host', 2), lookUp('host', 1), lookUp('host', 1)]
  assert.equal(asked.size, 1)
  answer('host')
  assert.deepEqual(
    await Promise.all(both),
    Array.from({ length: 4 }, () => ['192.0.2.1']),
  )
})

test('what the resolver says is passed on', async () => {
  const { lookUp, asked } = openBench()
  const found = lookUp('nowhere', 1)
  asked.get('nowhere')!.reject(new Error('ENOTFOUND'))
  await assert.rejects(found, (error) => !isFault(error))
})
