import { readFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { callbackify } from 'node:util'
import type { Client, ClientConfig, PoolClient } from 'pg'
import { systemClock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import {
  readPassword,
  type PasswordPlaces,
  type PostgresPlace,
  type PostgresTarget,
} from './postgres-target.ts'

// Nothing is late by more than five seconds: a host that does not answer leaves time for the next one.
const connectTimeoutMs = 3_000
const statementTimeoutMs = 4_000
/** Longer than the database's own: ends what hangs because the database's machine is gone. */
const queryTimeoutMs = 5_000
/** Of who listens, and looks every two seconds besides. */
const listenerTimeoutMs = 3_000
/** How long a connection has to end in good order. */
const goodbyeMs = 1_000
const maxConnections = 8
const int8 = 20

/** Connections to one database, as users of it see them. */
export interface Postgres extends AsyncDisposable {
  /** One of those that are shared. @throws what `describe` describes */
  readonly lease: () => Promise<PoolClient>
  /** Gives it back, with what went wrong. */
  readonly release: (client: PoolClient, error?: unknown) => void
  /** A connection of its own, for who listens. @throws Fault STORE_UNAVAILABLE */
  readonly connect: () => Promise<Client>
  /** Ends one of `connect`, with what went wrong, within a second whatever has become of the database. */
  readonly end: (client: Client, error?: unknown) => Promise<void>
  /**
   * Does what takes as long as it takes, on a connection of its own; what it has not committed goes with that.
   * @throws Fault as `describe` describes
   */
  readonly alone: <T>(work: (client: Client) => Promise<T>) => Promise<T>
  /** What happened, as a fault. */
  readonly describe: (error: unknown) => Fault
}

export interface PostgresOptions {
  readonly target: PostgresTarget
  readonly password?: PasswordPlaces
}

// With a pool in between that exchanges sessions neither these nor LISTEN would hold (docs/operations.md).
const session = [
  `statement_timeout=${statementTimeoutMs}`,
  `lock_timeout=${statementTimeoutMs}`,
  'idle_in_transaction_session_timeout=5000',
  'default_transaction_isolation=read\\ committed',
  'tcp_keepalives_idle=5',
  'tcp_keepalives_interval=2',
  'tcp_keepalives_count=3',
]

type Driver = typeof import('pg')

async function configOf(
  { types }: Driver,
  { target, password = {} }: PostgresOptions,
  { host, port, tls }: PostgresPlace,
): Promise<ClientConfig> {
  const { database, user } = target
  const read = async (file: string | undefined) =>
    file === undefined ? undefined : await readFile(file, 'utf8')
  const [ca, cert, key] = await Promise.all([tls?.caFile, tls?.certFile, tls?.keyFile].map(read))
  return {
    host,
    port,
    database,
    user,
    // An empty one where none is kept: the driver would look for it in the environment.
    password: async () => (await readPassword({ host, port, database, user }, password)) ?? '',
    // SECURITY: with `host`, an address is looked for in the certificate too, and not `localhost`.
    ssl: tls
      ? { host, minVersion: 'TLSv1.2', ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
      : false,
    options: session.map((setting) => `-c ${setting}`).join(' '),
    application_name: 'tideway',
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: queryTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    types: {
      // Revisions stay far below the bound of whole numbers.
      getTypeParser: ((oid: number, format: 'text') =>
        oid === int8 ? Number : (types.getTypeParser(oid, format) as unknown)) as typeof types.getTypeParser,
    },
  }
}

/** What the codes of PostgreSQL (SQLSTATE) and of Node mean for us, by their first two letters. */
const hints: Readonly<Record<string, string>> = {
  '28': 'look at --store, at the password and at pg_hba.conf',
  '3D': 'create the database first: createdb',
  '42': 'the user needs the right to create tables in its schema, and nobody else may change them',
}

/** How a target is named to operators. */
export function nameOf({ others = [], database, ...first }: PostgresTarget): string {
  const places = [first, ...others].map(({ host, port }) => `${host}:${port}`)
  return `PostgreSQL ${places.join(',')}/${database}`
}

function describeFailure(target: PostgresTarget, error: unknown): Fault {
  if (isFault(error)) return error
  const { code = '', message } = error as Error & { code?: string }
  const hint = hints[code.slice(0, 2)]
  const text = `${nameOf(target)}: ${message || code}`
  return new Fault(code.startsWith('42') ? 'STORE_CORRUPT' : 'STORE_UNAVAILABLE', text, {
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}

/**
 * What must hold of every connection: it leads to the database that is written to, and what is committed is on its
 * disk whatever the database's own settings say.
 */
async function prepareSession(client: Pick<Client, 'query'>): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>(
    `SELECT pg_is_in_recovery() AS standby,
       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END`,
  )
  if (rows[0]?.standby) {
    throw new Fault('STORE_UNAVAILABLE', 'the database is a standby, which cannot be written to', {
      hint: 'let --store name all hosts where the primary may be, or an address that follows it',
    })
  }
}

/** Opens connections as they are needed, eight at most and one for each `connect`. @throws Fault STORE_UNAVAILABLE */
export async function openPostgres(options: PostgresOptions): Promise<Postgres> {
  const driver = await import('pg')
  const { target } = options
  const describe = (error: unknown) => describeFailure(target, error)
  const places = [target, ...(target.others ?? [])]
  const configs = await Promise.all(places.map((place) => configOf(driver, options, place))).catch(
    (error: unknown) => {
      throw describe(error)
    },
  )
  let turn = 0
  const config = (): ClientConfig => configs[turn % configs.length]!
  const listening = (): ClientConfig => ({ ...config(), query_timeout: listenerTimeoutMs })
  const patient = (): ClientConfig => ({
    ...config(),
    query_timeout: 0,
    options: `${config().options} -c statement_timeout=0 -c lock_timeout=0`,
  })
  /** Of connections that are not closed. */
  const sockets = new Set<Socket>()
  const lines = new WeakMap<Client, { readonly socket: Socket; readonly era: number }>()
  /** Ends when a connection falls silent: what was connected before leads nowhere either, most likely. */
  let era = 0

  class Connected extends driver.Client {
    constructor(configuration: ClientConfig) {
      const socket = new Socket()
      super({ ...configuration, stream: () => socket })
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      lines.set(this, { socket, era })
    }
  }

  function distrust(client: Client, error: unknown): void {
    // The one text of the driver's own for a statement without an answer.
    const isSilent = (error as Error | undefined)?.message === 'Query read timeout'
    if (isSilent && lines.get(client)?.era === era) era++
  }

  async function end(client: Client, error?: unknown): Promise<void> {
    distrust(client, error)
    const cancel = systemClock.after(goodbyeMs, () => lines.get(client)?.socket.destroy())
    await client.end().catch(() => {})
    cancel()
  }

  /** Where a connection fails, the next one is tried at the next place. */
  async function elsewhereNext<T>(work: () => Promise<T>): Promise<T> {
    const tried = turn
    try {
      return await work()
    } catch (error) {
      if (turn === tried) turn++
      throw error
    }
  }

  async function connect(configure: () => ClientConfig): Promise<Client> {
    for (let attempt = 1; ; attempt++) {
      const client = new Connected(configure())
      client.on('error', () => {})
      try {
        await elsewhereNext(async () => {
          await client.connect()
          await prepareSession(client)
        })
        return client
      } catch (error) {
        await end(client)
        if (attempt === places.length) throw describe(error)
      }
    }
  }

  const pool = new driver.Pool({
    max: maxConnections,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 60_000,
    verify: callbackify(prepareSession),
    Client: class extends Connected {
      constructor() {
        super(config())
      }
    },
  })
  // A connection that breaks while nobody uses it is replaced when somebody needs one; who uses one hears it from his
  // statement.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    async lease() {
      for (;;) {
        const client = await elsewhereNext(() => pool.connect())
        const line = lines.get(client)!
        if (line.era === era) return client
        client.release(true)
        line.socket.destroy()
      }
    },
    release(client, error) {
      distrust(client, error)
      // What went wrong may have left the connection in the middle of something.
      client.release(error !== undefined)
    },
    describe,
    connect: () => connect(listening),
    end,
    async alone(work) {
      const client = await connect(patient)
      try {
        return await work(client)
      } catch (error) {
        throw describe(error)
      } finally {
        await end(client)
      }
    },
    async [Symbol.asyncDispose]() {
      const cancel = systemClock.after(goodbyeMs, () => {
        for (const socket of sockets) socket.destroy()
      })
      await pool.end()
      await Promise.all([...sockets].map((socket) => new Promise((closed) => socket.once('close', closed))))
      cancel()
    },
  }
}
