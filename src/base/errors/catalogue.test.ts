import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { faultCatalogue } from './catalogue.ts'

test('docs/errors.md documents exactly the codes there are, with their kinds', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/errors.md'), 'utf8')
  const documented = [...page.matchAll(/^\| `([A-Z_]+)`\s*\| ([a-z-]+)\s*\|/gm)].map(
    ([, code, kind]) => `${code} ${kind}`,
  )
  const known = Object.entries(faultCatalogue).map(([code, { kind }]) => `${code} ${kind}`)
  assert.deepEqual(documented.sort(), known.sort())
})
