// A PostgreSQL of the machine's packages on a folder of its own, run by a user without rights, gone with this process.
import assert from 'node:assert/strict'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { PostgresTarget } from '#server/store'
import { freePort } from '../../../src/cli/dev/free-port.ts'

const nobody = 65_534
const superuser = 'postgres'

export interface Cluster extends AsyncDisposable {
  readonly folder: string
  /** Makes an empty database for the user `tideway`, who owns it and is no superuser. */
  createDatabase(): Promise<PostgresTarget>
  /** As the superuser. */
  query(database: string, statement: string): Promise<Record<string, unknown>[]>
  /** Ends the connections of everybody else to a database; resolves once they have ended. */
  disconnect(database: string): Promise<void>
  /** `SIGINT`: orderly. `SIGQUIT`: as after a crash. */
  stop(signal?: 'SIGINT' | 'SIGQUIT'): Promise<void>
  start(): Promise<void>
  /** Makes a standby that follows this one, on another port of the same sockets. */
  openStandby(): Promise<Standby>
  /** Of TCP; only where it listens to that. */
  readonly port: number
}

export interface Standby {
  readonly port: number
  /** As the superuser. */
  query(database: string, statement: string): Promise<Record<string, unknown>[]>
  /** Resolves once it can be written to. */
  promote(): Promise<void>
}

interface Server {
  start(): Promise<void>
  stop(signal?: 'SIGINT' | 'SIGQUIT'): Promise<void>
  query: Cluster['query']
}

interface ClusterOptions {
  /** Listens on 127.0.0.1 too, with this certificate and with passwords. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

/** Needs root, to be able to be somebody else. */
export async function openCluster({ tls }: ClusterOptions = {}): Promise<Cluster> {
  assert.equal(process.getuid!(), 0, 'the system tests need root')
  const bin = globSync('/usr/lib/postgresql/*/bin').sort().at(-1)
  assert.ok(bin !== undefined, 'the package postgresql is not installed')
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-postgres-'))
  chmodSync(folder, 0o755)
  const data = path.join(folder, 'data')
  const sockets = path.join(folder, 'sockets')
  const own = (file: string) => chownSync(file, nobody, nobody)
  const makeOwn = (made: string) => {
    mkdirSync(made, { mode: 0o700 })
    own(made)
  }
  for (const made of [data, sockets]) makeOwn(made)
  chmodSync(sockets, 0o755)
  const asNobody = [
    '--reuid',
    String(nobody),
    '--regid',
    String(nobody),
    '--clear-groups',
    '--pdeathsig',
    'INT',
  ]
  const command = (program: string, args: readonly string[]) => [
    ...asNobody,
    path.join(bin, program),
    ...args,
  ]
  const surroundings = { cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C' } }
  execFileSync(
    'setpriv',
    command('initdb', ['-D', data, '-U', superuser, '-E', 'UTF8', '--locale=C', '--auth=trust', '--no-sync']),
    { ...surroundings, stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const settings: Record<string, string> = {
    // Nothing here outlives the machine, whose crash is what this would be for.
    fsync: 'off',
    listen_addresses: '',
    unix_socket_directories: sockets,
    max_connections: '100',
  }
  let port = 5432
  if (tls) {
    port = await freePort('127.0.0.1')
    for (const [name, pem] of Object.entries(tls)) {
      writeFileSync(path.join(data, `${name}.pem`), pem, { mode: 0o600 })
      own(path.join(data, `${name}.pem`))
    }
    writeFileSync(
      path.join(data, 'pg_hba.conf'),
      'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n',
    )
    Object.assign(settings, { listen_addresses: '127.0.0.1', ssl: 'on' })
    Object.assign(settings, { ssl_cert_file: 'cert.pem', ssl_key_file: 'key.pem' })
  }

  function serverOn(data: string, port: number): Server {
    const started = command('postgres', [
      '-D',
      data,
      '-p',
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ])
    let running: ChildProcess | undefined
    return {
      async start() {
        const child = spawn('setpriv', started, { ...surroundings, stdio: ['ignore', 'ignore', 'pipe'] })
        running = child
        const said: string[] = []
        await new Promise<void>((resolve, reject) => {
          createInterface(child.stderr).on('line', (line) => {
            if (said.push(line) > 100) said.shift()
            if (/database system is ready to accept (read-only )?connections/.test(line)) resolve()
          })
          child.once('exit', () => reject(new Error(`PostgreSQL has ended:\n${said.join('\n')}`)))
        })
      },
      async stop(signal = 'SIGINT') {
        if (!running) return
        const exited = once(running, 'exit')
        running.kill(signal)
        await exited
        running = undefined
      },
      async query(database, statement) {
        const client = new Client({ host: sockets, port, user: superuser, database })
        await client.connect()
        try {
          return (await client.query<Record<string, unknown>>(statement)).rows
        } finally {
          await client.end()
        }
      },
    }
  }
  const primary = serverOn(data, port)
  const standbys: Server[] = []
  const query: Cluster['query'] = (...args) => primary.query(...args)
  await primary.start()
  await query('postgres', 'CREATE ROLE tideway LOGIN')
  let databases = 0
  return {
    folder,
    port,
    query,
    start: () => primary.start(),
    stop: (signal) => primary.stop(signal),
    async createDatabase() {
      const database = `store_${databases++}`
      await query('postgres', `CREATE DATABASE ${database} OWNER tideway`)
      return { host: sockets, port, database, user: 'tideway', tls: undefined }
    },
    async openStandby() {
      const number = standbys.length + 1
      const copy = path.join(folder, `standby-${number}`)
      makeOwn(copy)
      const from = ['-h', sockets, '-p', String(port), '-U', superuser]
      const how = ['-R', '-X', 'stream', '-c', 'fast', '--no-sync']
      execFileSync('setpriv', command('pg_basebackup', [...from, '-D', copy, ...how]), {
        ...surroundings,
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const standby = serverOn(copy, port + number)
      standbys.push(standby)
      await standby.start()
      return {
        port: port + number,
        query: (...args) => standby.query(...args),
        async promote() {
          const [row] = await standby.query('postgres', 'SELECT pg_promote() AS promoted')
          assert.deepEqual(row, { promoted: true })
        },
      }
    },
    async disconnect(database) {
      const others = await query(
        database,
        `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = '${database}' AND pid <> pg_backend_pid()`,
      )
      const pids = others.map(({ pid }) => pid)
      const left = `SELECT pid FROM pg_stat_activity WHERE pid = ANY('{${pids.join()}}')`
      // A signal is all that was sent: until it is received a connection still takes statements.
      while ((await query(database, left)).length > 0) await sleep(5)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([primary, ...standbys].map((server) => server.stop()))
      rmSync(folder, { recursive: true })
    },
  }
}
