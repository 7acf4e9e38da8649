import { availableParallelism, hostname } from 'node:os'
import { isLoopback, oneOf, text, type SettingSpec, type SettingsOf } from '#base/settings'
import type { ConnectTo } from '#daemon/outbound'

export interface Listen {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

function integer(minimum: number, maximum: number): (value: unknown) => number {
  return (value) => {
    const number = typeof value === 'number' ? value : /^\d+$/.test(text(value)) ? Number(value) : NaN
    if (!Number.isInteger(number) || number < minimum || number > maximum) {
      throw new TypeError(`a whole number from ${minimum} to ${maximum} is expected`)
    }
    return number
  }
}

function switchValue(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  if (value === 'true' || value === 'false') return value === 'true'
  throw new TypeError('true or false is expected')
}

function httpsUrl(value: unknown): URL {
  const url = URL.parse(text(value))
  if (url?.protocol !== 'https:') throw new TypeError('an https:// URL is expected')
  if (url.pathname !== '/' || url.search || url.username)
    throw new TypeError('a URL without path is expected')
  return url
}

function caHash(value: unknown): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(text(value))) {
    throw new TypeError('sha256: and 64 hexadecimal digits are expected')
  }
  return value as string
}

/** `127.0.0.1:0`, `[::1]:3128`. */
function listen(value: unknown): Listen {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text(value))
  const port = Number(match?.[3])
  if (!match || port > 65_535) throw new TypeError('HOST:PORT is expected')
  return { host: (match[1] ?? match[2])!, port }
}

/** `s3.amazonaws.com:443=127.0.0.1:9000`; several in one text are separated by commas. */
function connectTo(value: unknown): readonly ConnectTo[] {
  const entries = Array.isArray(value) ? value.map(text) : text(value).split(',')
  return entries.map((entry) => {
    const [from, to] = entry.split('=')
    const source = listen(from)
    const target = listen(to)
    return {
      host: source.host.toLowerCase(),
      port: source.port,
      address: target.host,
      addressPort: target.port,
    }
  })
}

function loopbackListen(value: unknown): Listen {
  const parsed = listen(value)
  // SECURITY: the explicit proxy knows its callers by /proc of this host, so nobody else may reach it.
  if (!isLoopback(parsed.host)) throw new TypeError('the explicit proxy listens on loopback only')
  return parsed
}

function setting<T>(
  parse: (value: unknown) => T,
  fallback: NoInfer<T>,
  help: string,
  placeholder?: string,
): SettingSpec<T> {
  return { parse, default: fallback, help, ...(placeholder !== undefined && { placeholder }) }
}

function optional<T>(
  parse: (value: unknown) => T,
  help: string,
  placeholder: string,
): SettingSpec<T | undefined> {
  return { parse, default: undefined, help, placeholder }
}

/** The settings of `tideway daemon`: the option is the key in kebab case. */
export const daemonSettings = {
  server: optional(httpsUrl, 'HTTPS address of the control plane to join', 'URL'),
  joinTokenFile: optional(text, 'file with the join token, - for standard input', 'FILE'),
  caHash: optional(
    caHash,
    'hash of the CA of the control plane, as printed with the join token',
    'sha256:HEX',
  ),
  stateDir: optional(text, 'folder of node key, SVID and audit spool', 'DIR'),
  runDir: optional(text, 'folder of sockets and trust bundle', 'DIR'),
  capture: setting(
    oneOf('auto', 'kernel', 'none'),
    'auto',
    'whether to capture connections in the kernel: auto does where this machine and user can',
    'auto|kernel|none',
  ),
  attachCgroup: optional(
    text,
    'cgroup below which processes are captured (the whole host unless given)',
    'PATH',
  ),
  capturePort: setting(
    integer(0, 65_535),
    15_443,
    'port to which captured connections are led, 0 for any',
    'PORT',
  ),
  user: optional(
    text,
    'user as which the daemon serves when started as root (tideway if there is one, else uid 64099)',
    'NAME|UID',
  ),
  workers: setting(
    integer(1, 64),
    Math.min(4, availableParallelism()),
    'processes that carry connections',
    'N',
  ),
  proxyListen: setting(
    loopbackListen,
    { host: '127.0.0.1', port: 0 },
    'loopback address of the explicit proxy of `tideway run --mode proxy -- COMMAND`',
    'HOST:PORT',
  ),
  connectTo: setting(
    connectTo,
    [],
    'for development: dial ADDR:PORT for HOST:PORT; repeatable',
    'HOST:PORT=ADDR:PORT',
  ),
  upstreamCa: optional(text, 'for development: a CA to trust for upstreams beside the system roots', 'FILE'),
  installTrust: setting(switchValue, false, 'add the intercept root to the trust store of this host'),
  auditSpoolMib: setting(integer(1, 1 << 20), 64, 'audit records that may wait to be shipped, in MiB', 'MIB'),
  auditWhenFull: setting(
    oneOf('refuse', 'count'),
    'refuse',
    'when the audit spool is full: refuse requests, or let them go and count the records lost',
    'refuse|count',
  ),
  hostname: setting(
    text,
    hostname(),
    'what this node calls itself: shown by `tideway ctl get daemons`',
    'NAME',
  ),
  logLevel: setting(oneOf('debug', 'info', 'warn', 'error'), 'info', 'least level that is logged', 'LEVEL'),
}

export type DaemonSettings = SettingsOf<typeof daemonSettings>
