import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
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

test('nor does the main process that is started as the launcher does, to give its children their modules', () => {
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
  const preload = path('../../../bin/without-types.js')
  const script = `const { javascriptOf } = await import(${JSON.stringify(path('javascript.ts'))})
    await import(${JSON.stringify(path('../program/index.ts'))})
    const worker = javascriptOf(new URL(${JSON.stringify(new URL('../program/worker.ts', import.meta.url).href)}))
    const stripped = process.moduleLoadList.some((name) => name.includes('amaro'))
    console.log(JSON.stringify({ stripped, serves: worker.size > 50 }))`
  const run = [
    '--disable-warning=ExperimentalWarning',
    '--import',
    preload,
    '--input-type=module',
    '-e',
    script,
  ]
  const { stdout, stderr } = spawnSync(process.execPath, run, { encoding: 'utf8' })
  assert.deepEqual(JSON.parse(stdout || '{}'), { stripped: false, serves: true }, stderr)
})
