import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '#base/errors'
import { isLoopback } from '#base/settings'

/** Name of the systemd credential (LoadCredential=) that holds the database's password. */
export const passwordCredentialName = 'tideway-store-password'

/** Where a database can be reached. */
export interface PostgresPlace {
  /** A name, an address, or the folder of a unix socket. */
  readonly host: string
  readonly port: number
  /** Undefined on this machine: then the connection leaves it no more than the database's files do. */
  readonly tls:
    | { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string }
    | undefined
}

/** Which database, and how to prove who is who. */
export interface PostgresTarget extends PostgresPlace {
  readonly database: string
  readonly user: string
  /** Other places where the one that is written to may be, after a failover. */
  readonly others?: readonly PostgresPlace[]
}

const parameters = ['host', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'target_session_attrs']

/**
 * Reads `postgres://USER@HOST:PORT,HOST:PORT/DATABASE`, with libpq's parameters `host` (a socket's folder), `sslmode`
 * (`verify-full` or, on this machine only, `disable`), `sslrootcert`, `sslcert`, `sslkey` and `target_session_attrs`
 * (`read-write`, as it always is).
 * @throws TypeError with the reason
 */
export function parsePostgresUrl(text: string): PostgresTarget {
  const [, start = '', hosts = '', rest = ''] = /^(\w+:\/\/(?:[^/@]*@)?)([^/?]*)(.*)$/s.exec(text) ?? []
  if (!hosts.includes(',')) return parseSingle(text)
  const [first, ...others] = hosts.split(',').map((host) => parseSingle(start + host + rest))
  return { ...first!, others: others.map(({ host, port, tls }) => ({ host, port, tls })) }
}

function parseSingle(text: string): PostgresTarget {
  // A socket's folder stands in `host`: the place of the host is empty then, which URL takes only without a user.
  const url = URL.parse(text.replace(/^(postgres(?:ql)?:\/\/(?:[^/@]*@)?)(?=[:/?])/, '$1socket.invalid'))
  if (!url || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new TypeError('postgres://USER@HOST:PORT/DATABASE is expected')
  }
  // SECURITY: every process of the machine can read arguments (rule 23).
  if (url.password !== '') {
    throw new TypeError(
      'no password in the URL, where every process of the machine can read it: put it into a file of mode 0600, and ' +
        `name that by --store-password-file, PGPASSFILE (libpq's format), or as systemd credential ${passwordCredentialName}`,
    )
  }
  for (const name of url.searchParams.keys()) {
    if (!parameters.includes(name)) {
      throw new TypeError(`unknown parameter ${name}; there are ${parameters.join(', ')}`)
    }
  }
  const wanted = url.searchParams.get('target_session_attrs') ?? 'read-write'
  if (wanted !== 'read-write' && wanted !== 'primary') {
    throw new TypeError(`target_session_attrs=${wanted} is refused: read-write it is`)
  }
  const folder = url.searchParams.get('host') ?? undefined
  if ((url.hostname === 'socket.invalid') !== (folder !== undefined) || folder?.startsWith('/') === false) {
    throw new TypeError('either a host, or ?host=/FOLDER of the unix socket is expected')
  }
  const host = folder ?? url.hostname.replace(/^\[(.*)\]$/, '$1')
  const user = decodeURIComponent(url.username)
  const database = decodeURIComponent(url.pathname.slice(1)) || user
  if (user === '') throw new TypeError('the URL names no user')
  return { host, port: Number(url.port || 5432), user, database, tls: parseTls(host, url.searchParams) }
}

function parseTls(host: string, query: URLSearchParams): PostgresTarget['tls'] {
  const local = host.startsWith('/') || isLoopback(host)
  const mode = query.get('sslmode') ?? (local ? 'disable' : 'verify-full')
  // SECURITY: `require` and `prefer` encrypt without asking whom they speak to.
  if (mode !== 'verify-full' && !(mode === 'disable' && local)) {
    throw new TypeError(
      `sslmode=${mode} is refused: verify-full it is${local ? ', or disable on this machine' : ' to another machine'}`,
    )
  }
  if (mode === 'disable') return undefined
  const [caFile, certFile, keyFile] = ['sslrootcert', 'sslcert', 'sslkey'].map((name) => query.get(name))
  return { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) }
}

/** Where the password may be; each is optional. */
export interface PasswordPlaces {
  readonly file?: string | undefined
  /** `$CREDENTIALS_DIRECTORY` as systemd sets it. */
  readonly credentialsDirectory?: string | undefined
  /** `$PGPASSFILE`: lines of `host:port:database:user:password`. */
  readonly passFile?: string | undefined
}

/** The password, read anew for each connection, so that it can be changed; undefined where none is kept. */
export async function readPassword(
  target: Pick<PostgresTarget, 'host' | 'port' | 'database' | 'user'>,
  { file, credentialsDirectory, passFile }: PasswordPlaces,
): Promise<string | undefined> {
  if (file !== undefined) return firstLine(await readGuarded(file))
  if (credentialsDirectory !== undefined) {
    // The folder of a unit is for its service only, whatever the mode of the file says.
    const path = join(credentialsDirectory, passwordCredentialName)
    const found = await readFile(path, 'utf8').catch(() => undefined)
    if (found !== undefined) return firstLine(found)
  }
  return passFile === undefined ? undefined : findPassword(await readGuarded(passFile), target)
}

const firstLine = (text: string) => text.replace(/\r?\n[^]*$/, '')

/** @throws Fault SETTING_INVALID */
async function readGuarded(path: string): Promise<string> {
  try {
    const { mode } = await stat(path)
    if ((mode & 0o077) === 0) return await readFile(path, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `the password's file ${path}: ${(error as Error).message}`, {
      cause: error,
    })
  }
  throw new Fault('SETTING_INVALID', `the password's file ${path} can be read or written by others`, {
    hint: `run: chmod 600 ${path}`,
  })
}

/** The password of the first line that fits, in the format of libpq's password file. */
export function findPassword(
  text: string,
  { host, port, database, user }: Pick<PostgresTarget, 'host' | 'port' | 'database' | 'user'>,
): string | undefined {
  const wanted = [host.startsWith('/') ? 'localhost' : host, String(port), database, user]
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue
    const fields = [...line.matchAll(/(?<=^|:)((?:[^:\\]|\\.)*)(?=:|$)/g)].map(([field]) =>
      field.replaceAll(/\\(.)/g, '$1'),
    )
    if (fields.length !== 5) continue
    if (wanted.every((value, index) => fields[index] === '*' || fields[index] === value)) return fields[4]
  }
  return undefined
}
