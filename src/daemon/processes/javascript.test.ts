import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { startChild } from './index.ts'
import { javascriptOf } from './javascript.ts'

const attestor = new URL('../attestation/attestor-child.ts', import.meta.url)

test('the modules that a program reaches are found, through folders and their faces', () => {
  const names = [...javascriptOf(attestor).keys()].map((url) => url.slice(url.indexOf('/src/')))
  assert.equal(names[0], '/src/daemon/attestation/attestor-child.ts')
  assert.ok(names.includes('/src/daemon/attestation/process-reader.ts'))
  assert.ok(names.includes('/src/base/syscall/index.ts'))
  assert.ok(names.includes('/src/daemon/processes/child.ts'))
})

test('a worker holds nothing of protobuf or YAML, which would take 14 MiB of each', () => {
  const sources = [...javascriptOf(new URL('../program/worker.ts', import.meta.url))]
  const reached = sources.filter(([, source]) => /^(?:import|export) .*'(?:@bufbuild|yaml)/m.test(source))
  assert.deepEqual(
    reached.map(([url]) => url),
    [],
  )
})

test('a program of TypeScript runs as JavaScript: its process never loads what strips types', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-child-'))
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return pathToFileURL(join(folder, name))
  }
  write('part.ts', 'export const part: string = "whole"\n')
  const entry = write(
    'entry.ts',
    `import { part } from './part.ts'
    type Ignored = string
    const stripped = process.moduleLoadList.some((name: string) => name.includes('amaro'))
    process.send!({ part, stripped })
    process.disconnect!()\n`,
  )
  const child = startChild(entry)
  const [message] = await once(child, 'message')
  assert.deepEqual(message, { part: 'whole', stripped: false })
  await once(child, 'exit')
  rmSync(folder, { recursive: true })
})
