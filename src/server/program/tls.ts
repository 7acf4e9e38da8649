import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { certificateHash, openServerCertificate } from '#server/issuer'

/** What the HTTPS port presents. */
export interface TlsIdentity {
  readonly tls: { readonly key: string; readonly cert: string }
  /** PEM and hash of the CA where it is our own: what clients pin. */
  readonly ca?: { readonly pem: string; readonly hash: string }
  /** Passes on each new certificate until `signal` aborts. */
  run(options: {
    signal: AbortSignal
    onRenewed: (tls: { readonly key: string; readonly cert: string }) => void
  }): Promise<void>
}

const lookEveryMs = 10_000

/** A certificate under the server's own CA. */
export async function openOwnIdentity(
  options: Parameters<typeof openServerCertificate>[0],
): Promise<TlsIdentity> {
  const own = await openServerCertificate(options)
  return {
    tls: own.tls(),
    ca: { pem: own.ca.toString(), hash: certificateHash(own.ca) },
    run: (runOptions) => own.run(runOptions),
  }
}

/** @throws Fault SETTING_INVALID when the files are missing, damaged, or not of each other */
async function readPair(certFile: string, keyFile: string): Promise<{ key: string; cert: string }> {
  try {
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
      throw new Error('the key is not the key of the certificate')
    }
    createSecureContext({ cert, key })
    return { cert, key }
  } catch (error) {
    const message = `TLS certificate ${certFile} and key ${keyFile}: ${(error as Error).message}`
    throw new Fault('SETTING_INVALID', message, { cause: error })
  }
}

// Looked at, not watched: a secret that is replaced by swapping symbolic links tells no watcher.
async function versionOf(files: readonly string[]): Promise<string> {
  const stats = await Promise.all(files.map((file) => stat(file).catch(() => undefined)))
  return stats.map((found) => `${found?.ino}/${found?.size}/${found?.mtimeMs}`).join(' ')
}

/** A certificate that the operator brings; it is read again when the files change. */
export async function openFileIdentity({
  certFile,
  keyFile,
  clock,
  log,
}: {
  certFile: string
  keyFile: string
  clock: Clock
  log: Log
}): Promise<TlsIdentity> {
  const files = [certFile, keyFile]
  let version = await versionOf(files)
  const tls = await readPair(certFile, keyFile)
  return {
    tls,
    async run({ signal, onRenewed }) {
      while (!signal.aborted) {
        await clock.sleep(lookEveryMs, { signal }).catch(() => {})
        const next = await versionOf(files)
        if (signal.aborted || next === version) continue
        try {
          onRenewed(await readPair(certFile, keyFile))
          version = next
          log.info('tls.reloaded', { certFile })
        } catch (error) {
          // The pair may be half written: the one in use stays until both fit.
          log.warn('tls.reload-failed', { certFile, error })
        }
      }
    },
  }
}
