// The same with Node's fetch: objects.mjs ENDPOINT BUCKET
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'

const [endpoint, bucket] = process.argv.slice(2)
const url = `${endpoint}/${bucket}`

async function call(status, target, options) {
  const answer = await fetch(target, options)
  const body = Buffer.from(await answer.arrayBuffer())
  assert.equal(answer.status, status, `${options?.method ?? 'GET'} ${target}: ${body.subarray(0, 500)}`)
  return body
}

await call(200, url, { method: 'PUT' })
for (const bytes of [0, 1024, 1 << 20, 8 << 20]) {
  const body = randomBytes(bytes)
  await call(200, `${url}/${bytes}`, { method: 'PUT', body })
  assert.ok((await call(200, `${url}/${bytes}`)).equals(body), `content of ${bytes} bytes`)
  await call(204, `${url}/${bytes}`, { method: 'DELETE' })
}
for (const key of ["a b+~'()*é%2F☃", 'x?y#z', 'deep/er']) {
  const target = `${url}/${encodeURIComponent(key)}`
  await call(200, target, { method: 'PUT', body: key, headers: { 'x-amz-meta-key': 'a  b' } })
  assert.equal((await call(200, target)).toString(), key)
}
// Many at once over few connections.
const many = Array.from({ length: 32 }, (_, index) => `${url}/many/${index}`)
await Promise.all(many.map((target, index) => call(200, target, { method: 'PUT', body: String(index) })))
const back = await Promise.all(many.map((target) => call(200, target)))
assert.deepEqual(back.map(String), [...many.keys()].map(String))
