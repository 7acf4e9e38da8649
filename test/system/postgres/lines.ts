// What lies between a server and its database: lines that can fall silent without being closed, as when a machine is
// gone or a firewall has forgotten them.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { PostgresTarget } from '#server/store'

interface Line {
  readonly ends: readonly Socket[]
  listens: boolean
  isSilent: boolean
}

export interface Lines extends AsyncDisposable {
  /** The database, by these lines. */
  readonly target: PostgresTarget
  /** From now on nothing passes on the lines there are, or on that of who listens alone; new ones are as they should. */
  silence(which: 'all' | 'listener'): void
  /** Ends the line of who listens. */
  cutListener(): void
}

export async function openLines(target: PostgresTarget): Promise<Lines> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-lines-'))
  const lines = new Set<Line>()
  const socketName = `.s.PGSQL.${target.port}`
  const server = createServer((client) => {
    const database = connect(path.join(target.host, socketName))
    const line: Line = { ends: [client, database], listens: false, isSilent: false }
    lines.add(line)
    const pass = (from: Socket, to: Socket) => {
      from.on('data', (bytes) => {
        line.listens ||= bytes.includes('LISTEN tideway')
        if (!line.isSilent) to.write(bytes)
      })
      from.on('error', () => {})
      from.on('close', () => {
        if (!line.isSilent) to.destroy()
      })
    }
    pass(client, database)
    pass(database, client)
  }).listen(path.join(folder, socketName))
  await once(server, 'listening')
  return {
    target: { ...target, host: folder },
    silence(which) {
      for (const line of lines) if (which === 'all' || line.listens) line.isSilent = true
    },
    cutListener() {
      for (const { listens, ends } of lines) if (listens) for (const socket of ends) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      for (const { ends } of lines) for (const socket of ends) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      rmSync(folder, { recursive: true })
    },
  }
}
