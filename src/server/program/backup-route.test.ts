import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { openSqliteStore } from '#server/store'
import { testBackups } from './backup-contract.ts'

let folder: string
before(async () => (folder = await mkdtemp(join(tmpdir(), 'tideway-backup-'))))
after(() => rm(folder, { recursive: true }))

testBackups('sqlite', () => openSqliteStore({ path: join(folder, 'tideway.db') }))
