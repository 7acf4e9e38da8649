// Where the servers of a stack keep things and listen.
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Layout } from '#cli/dev'

export interface ServerPlace {
  readonly name: string
  /** What this one is told beside what all are. */
  readonly flags: readonly string[]
  readonly data: string
  /** `host:port` of the resource API. */
  readonly api: string
  readonly health: { readonly host: string; readonly port: number }
}

/** Several servers on a PostgreSQL database. */
export interface Replicas {
  readonly count: number
  /** URL of the database. */
  readonly store: string
}

interface ServerPlaces {
  /** `host:port` by which all others know the resource API. */
  readonly api: string
  readonly servers: readonly ServerPlace[]
}

const name = 'control.tideway.test'

/** One server as `layout` has it, or several, each at an address of its own, all of which one name has. */
export function planServers(layout: Layout, replicas: Replicas | undefined): ServerPlaces {
  if (!replicas) {
    const { api, node, health, serverData: data } = layout
    const [host, port] = health.split(':') as [string, string]
    const flags = [`--listen=${api}`, `--node-listen=${node}`, `--health-listen=${health}`]
    return { api, servers: [{ name: 'server', flags, data, api, health: { host, port: Number(port) } }] }
  }
  const sealingKey = path.join(layout.base, 'sealing-key')
  writeFileSync(sealingKey, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
  const servers = Array.from({ length: replicas.count }, (_, index): ServerPlace => {
    const host = `127.0.1.${index + 1}`
    // Mounted over the hosts file: written in place, so that it stays so.
    appendFileSync(path.join(layout.base, 'hosts'), `${host} ${name}\n`)
    const data = path.join(layout.base, `server-${index}`)
    mkdirSync(data, { mode: 0o700 })
    const flags = [
      `--store=${replicas.store}`,
      `--sealing-key-file=${sealingKey}`,
      `--listen=${host}:8443`,
      `--node-listen=${host}:9443`,
      `--health-listen=${host}:8080`,
      `--node-endpoint=${name}:9443`,
    ]
    return { name: `server-${index}`, flags, data, api: `${host}:8443`, health: { host, port: 8080 } }
  })
  return { api: `${name}:8443`, servers }
}
