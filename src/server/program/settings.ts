import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { Fault } from '#base/errors'
import type { LogLevel } from '#base/log'
import { isLoopback, oneOf, text, type SettingSpec, type SettingsOf } from '#base/settings'
import { parseTrustDomain, type TrustDomain } from '#model/identity'
import type { HttpOverride } from '#server/exchange'
import { parsePostgresUrl, type PostgresTarget } from '#server/store'

export interface Listen {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

/** `127.0.0.1:8443`, `[::1]:0`. */
function listen(value: unknown): Listen {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text(value))
  const port = Number(match?.[3])
  if (!match || port > 65_535) throw new TypeError('HOST:PORT is expected')
  return { host: (match[1] ?? match[2])!, port }
}

function publicUrl(value: unknown): string {
  const url = URL.parse(text(value))
  if (url?.protocol !== 'https:' || url.search || url.hash || url.username) {
    throw new TypeError('a plain https:// URL is expected')
  }
  return url.href.replace(/\/+$/, '')
}

/** `sts.amazonaws.com:443=127.0.0.1:9000`; several in one text are separated by commas. */
function connectTo(value: unknown): readonly HttpOverride[] {
  const entries = Array.isArray(value) ? value.map(text) : text(value).split(',')
  return entries.map((entry) => {
    const [from, to] = entry.split('=')
    const [{ host, port }, target] = [listen(from), listen(to)]
    return { host: host.toLowerCase(), port, address: target.host, addressPort: target.port }
  })
}

/** `sqlite`: the file in the data folder. */
function storePlace(value: unknown): 'sqlite' | PostgresTarget {
  return value === 'sqlite' ? value : parsePostgresUrl(text(value))
}

function switchValue(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  return oneOf('true', 'false')(value) === 'true'
}

function seconds(minimum: number): (value: unknown) => number {
  return (value) => {
    const number = typeof value === 'number' ? value : /^\d{1,9}$/.test(text(value)) ? Number(value) : NaN
    if (!Number.isInteger(number) || number < minimum) {
      throw new TypeError(`a whole number of seconds, at least ${minimum}, is expected`)
    }
    return number
  }
}

const day = 86_400

/** The folder that a server uses unless told otherwise. */
function defaultDataDir(): string {
  if (process.getuid?.() === 0) return '/var/lib/tideway/server'
  const state = process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state')
  return join(state, 'tideway', 'server')
}

function setting<T>(
  parse: (value: unknown) => T,
  fallback: NoInfer<T>,
  help: string,
  placeholder: string,
): SettingSpec<T> & { readonly help: string; readonly placeholder: string } {
  return { parse, default: fallback, help, placeholder }
}

const optional = <T>(parse: (value: unknown) => T, help: string, placeholder: string) =>
  setting<T | undefined>(parse, undefined, help, placeholder)

/** The settings of `tideway server`: the option is the key in kebab case. */
export const serverSettings = {
  dataDir: setting(text, defaultDataDir(), 'folder of database, audit trail and sealing key', 'DIR'),
  store: setting<'sqlite' | PostgresTarget>(
    storePlace,
    'sqlite',
    'where everything is kept: a file in the data folder, or a PostgreSQL database that several servers share',
    'sqlite|postgres://USER@HOST:PORT/DATABASE',
  ),
  storePasswordFile: optional(
    text,
    'file (0600) of the database password; else the systemd credential tideway-store-password, or PGPASSFILE',
    'FILE',
  ),
  listen: setting(
    listen,
    { host: '127.0.0.1', port: 8443 },
    'HTTPS address of resource API and OIDC issuer',
    'HOST:PORT',
  ),
  nodeListen: setting(
    listen,
    { host: '127.0.0.1', port: 9443 },
    'address for daemons (mutual TLS)',
    'HOST:PORT',
  ),
  healthListen: setting(
    listen,
    { host: '127.0.0.1', port: 8080 },
    'HTTP address of health, readiness and metrics',
    'HOST:PORT',
  ),
  publicUrl: optional(
    publicUrl,
    'URL by which clients and clouds reach --listen; the issuer is this and /oidc',
    'URL',
  ),
  issuerUrl: optional(
    publicUrl,
    'URL at which clouds find the OIDC issuer, where its documents are published elsewhere (oidc publish)',
    'URL',
  ),
  nodeEndpoint: optional(
    text,
    'how daemons reach --node-listen; the address itself unless given',
    'HOST:PORT',
  ),
  trustDomain: setting<TrustDomain>(
    (value) => parseTrustDomain(text(value)),
    parseTrustDomain('tideway.local'),
    'SPIFFE trust domain; it cannot be changed later',
    'NAME',
  ),
  tlsCert: optional(
    text,
    'certificate chain for --listen, read again when it changes; from a CA of its own unless given',
    'FILE',
  ),
  tlsKey: optional(text, 'private key of --tls-cert', 'FILE'),
  sealingKeyFile: optional(
    text,
    'key that seals secrets at rest, created at the first start; in the data folder unless given',
    'FILE',
  ),
  exchangeCa: optional(text, 'PEM of CAs to trust, beside the public ones, in exchanges with clouds', 'FILE'),
  connectTo: setting(
    connectTo,
    [],
    'for development: dial ADDR:PORT for HOST:PORT in exchanges; repeatable',
    'HOST:PORT=ADDR:PORT',
  ),
  adminContext: setting(
    text,
    'default',
    "context in which the administrator's token is saved when it is made; none makes no token",
    'NAME|none',
  ),
  resetAdminToken: {
    parse: switchValue,
    default: false,
    help: 'for one start, when the token is lost or known to others: make a new one; those before stop working',
  },
  weakIdentities: setting(
    oneOf('warn', 'refuse'),
    'warn',
    'whether identities are refused whose selectors any local user can meet',
    'warn|refuse',
  ),
  offlineLeaseSeconds: setting(
    seconds(10),
    900,
    'how long a daemon goes on using credentials without its server',
    'SECONDS',
  ),
  svidTtlSeconds: setting(seconds(300), 3600, 'life of the certificates of daemons', 'SECONDS'),
  keyRotateEverySeconds: setting(seconds(60), 30 * day, 'how long a key of the issuer signs', 'SECONDS'),
  keyPublishAheadSeconds: setting(
    seconds(1),
    day,
    'how long a new key of the issuer is published before it signs',
    'SECONDS',
  ),
  logLevel: setting<LogLevel>(
    oneOf('debug', 'info', 'warn', 'error'),
    'info',
    'least level that is logged',
    'debug|info|warn|error',
  ),
}

export type ServerSettings = SettingsOf<typeof serverSettings>

/** What the settings must fulfil together. @throws Fault SETTING_INVALID */
export function checkSettings(settings: ServerSettings): void {
  const { tlsCert, tlsKey, connectTo, listen, nodeListen, healthListen } = settings
  const { adminContext, resetAdminToken } = settings
  if (resetAdminToken && adminContext === 'none') {
    throw new Fault(
      'SETTING_INVALID',
      '--reset-admin-token needs an --admin-context to save the new token in',
    )
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new Fault('SETTING_INVALID', '--tls-cert and --tls-key belong together: give both or none')
  }
  // SECURITY: a redirected exchange hands tokens to whoever answers; that is for stacks on one machine only.
  const open = [listen, nodeListen, healthListen].find(({ host }) => !isLoopback(host))
  if (connectTo.length > 0 && open) {
    throw new Fault(
      'SETTING_INVALID',
      `--connect-to needs every listener on loopback, and one is ${open.host}`,
    )
  }
}

/** The name by which others reach a listener on `host`. */
export function reachableHost(host: string): string {
  return host === '0.0.0.0' || host === '::' ? hostname() : host
}

export function formatAuthority({ host, port }: Listen): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
