import { readFile } from 'node:fs/promises'
import { callbackify } from 'node:util'
import type { Client, ClientConfig, Pool } from 'pg'
import { Fault, isFault } from '#base/errors'
import { readPassword, type PasswordPlaces, type PostgresTarget } from './postgres-target.ts'

const connectTimeoutMs = 5_000
const statementTimeoutMs = 10_000
/** Longer than the database's own: ends what hangs because the database's machine is gone. */
const queryTimeoutMs = 12_000
const maxConnections = 8
const int8 = 20

/** Connections to one database, as users of it see them. */
export interface Postgres extends AsyncDisposable {
  readonly pool: Pool
  /** A connection of its own, for who listens. @throws Fault STORE_UNAVAILABLE */
  readonly connect: () => Promise<Client>
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
): Promise<ClientConfig> {
  const { host, port, database, user, tls } = target
  const read = async (file: string | undefined) =>
    file === undefined ? undefined : await readFile(file, 'utf8')
  const [ca, cert, key] = await Promise.all([tls?.caFile, tls?.certFile, tls?.keyFile].map(read))
  return {
    host,
    port,
    database,
    user,
    // An empty one where none is kept: the driver would look for it in the environment.
    password: async () => (await readPassword(target, password)) ?? '',
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

function describeFailure({ host, port, database }: PostgresTarget, error: unknown): Fault {
  if (isFault(error)) return error
  const { code = '', message } = error as Error & { code?: string }
  const hint = hints[code.slice(0, 2)]
  const text = `PostgreSQL ${host}:${port}/${database}: ${message || code}`
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
      hint: 'let --store name the primary, by an address that follows it',
    })
  }
}

/** Opens connections as they are needed, eight at most and one for each `connect`. @throws Fault STORE_UNAVAILABLE */
export async function openPostgres(options: PostgresOptions): Promise<Postgres> {
  const driver = await import('pg')
  const describe = (error: unknown) => describeFailure(options.target, error)
  const config = await configOf(driver, options).catch((error: unknown) => {
    throw describe(error)
  })
  const pool = new driver.Pool({
    ...config,
    max: maxConnections,
    idleTimeoutMillis: 60_000,
    verify: callbackify(prepareSession),
  })
  // A connection that breaks while nobody uses it is replaced when somebody needs one; who uses one hears it from his
  // statement.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return {
    pool,
    describe,
    async connect() {
      const client = new driver.Client(config)
      client.on('error', () => {})
      try {
        await client.connect()
        await prepareSession(client)
        return client
      } catch (error) {
        await client.end().catch(() => {})
        throw describe(error)
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}
