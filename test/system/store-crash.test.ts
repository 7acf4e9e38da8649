import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { openSqliteStore } from '#server/store'
import { testCrashes } from '../../src/server/store/crash-contract.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'tideway-crash-'))
after(() => rmSync(folder, { recursive: true }))

testCrashes('sqlite', 200, async () => {
  const file = path.join(folder, 'tideway.db')
  return { place: { path: file }, open: () => openSqliteStore({ path: file }) }
})
