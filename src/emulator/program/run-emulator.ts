import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Clock } from '#base/clock'
import { makeNamedFolder } from '#base/files'
import { untilAborted } from '#base/lifecycle'
import { openLog, type Log } from '#base/log'
import type { SettingsOf } from '#base/settings'
import { getJson, openAccessKeys, openAccessLog, openAccount, openCloud } from '#emulator/aws'
import { createCertificates } from './certificates.ts'
import { openListener } from './listener.ts'
import { readOrCreateRootKey } from './root-credentials.ts'
import type { emulatorSettings } from './settings.ts'

export type EmulatorSettings = SettingsOf<typeof emulatorSettings>

/** Where everything is, once the emulator answers. */
export interface EmulatorReady {
  /** `https://HOST:PORT`: for SDKs with an endpoint override. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** PEM of the CA that signs for every AWS host. */
  readonly caFile: string
  readonly rootCredentialsFile: string
  readonly accessLogFile: string
}

/**
 * Runs the emulator until `signal` aborts. Also leaves `address` (HOST:PORT) in the state folder, written last:
 * who waits for that file can connect.
 * @throws Fault SETTING_INVALID
 */
export async function runEmulator(
  settings: EmulatorSettings,
  options: {
    signal: AbortSignal
    onReady?: (ready: EmulatorReady) => void
    clock?: Clock
    log?: Log
  },
): Promise<void> {
  const { signal, onReady, clock = systemClock, log = openLog({ program: 'emulator' }) } = options
  await using stack = new AsyncDisposableStack()
  const stateDir = settings.stateDir ?? mkdtempSync(join(tmpdir(), 'tideway-emulator-'))
  if (settings.stateDir === undefined) stack.defer(() => rmSync(stateDir, { recursive: true }))
  makeNamedFolder('--state-dir', { path: stateDir, mode: 0o700 })

  const rootCredentialsFile = settings.rootCredentialsFile ?? join(stateDir, 'root-credentials')
  const accessLogFile = settings.accessLog ?? join(stateDir, 'access.ndjson')
  const caFile = join(stateDir, 'ca.pem')
  const addressFile = join(stateDir, 'address')
  rmSync(addressFile, { force: true })

  const rootKey = readOrCreateRootKey(rootCredentialsFile, settings.accountId)
  const accessLog = stack.use(openAccessLog(accessLogFile))
  const certificates = createCertificates({ clock, listenHost: settings.listen.host })
  writeFileSync(caFile, certificates.caPem)
  const cloud = openCloud({
    account: openAccount(settings.accountId),
    keys: openAccessKeys(rootKey),
    clock,
    log,
    accessLog,
    fetchJson: (url) => getJson(url, readIssuerCa(settings.issuerCa)),
  })
  const listener = stack.use(
    await openListener(settings.listen, {
      certificates,
      handle: (request, body) => cloud.handle(request, body),
    }),
  )
  const { address: host, port } = listener.address
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  writeFileSync(addressFile, `${authority}\n`)
  stack.defer(() => rmSync(addressFile, { force: true }))
  const ready = { url: `https://${authority}`, host, port, caFile, rootCredentialsFile, accessLogFile }
  log.info('emulator.ready', { notice: 'a local emulator, not a real cloud', ...ready })
  onReady?.(ready)
  await untilAborted(signal)
}

/** Read at each fetch: the issuer may make its CA after this program has started. */
function readIssuerCa(path: string | undefined): string | undefined {
  return path !== undefined && existsSync(path) ? readFileSync(path, 'utf8') : undefined
}
