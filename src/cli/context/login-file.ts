import { closeSync, openSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import { readPrivateFile, writePrivateFile } from './private-file.ts'

/** A login at an external provider: who gave it, and what it gave. */
export interface Login {
  readonly issuer: string
  readonly clientID: string
  /** PEM of the CAs of the issuer, beside the public ones. */
  readonly caBundle?: string
  /** The bearer token of the resource API. */
  readonly idToken: string
  /** Gets the next ID token without asking anybody, where the provider gives one. */
  readonly refreshToken?: string
}

/** Beside the file of contexts, one file for each login. */
function loginPath(contextsFile: string, name: string): string {
  return path.join(path.dirname(path.resolve(contextsFile)), 'logins', `${encodeURIComponent(name)}.json`)
}

export function loadLogin(contextsFile: string, name: string): Login | undefined {
  const text = readPrivateFile(loginPath(contextsFile, name), 'login')
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Login
  } catch {
    // SECURITY: what the parser says would quote the file.
    return undefined
  }
}

export function saveLogin(contextsFile: string, name: string, login: Login): void {
  writePrivateFile(loginPath(contextsFile, name), JSON.stringify(login))
}

export function removeLogin(contextsFile: string, name: string): void {
  rmSync(loginPath(contextsFile, name), { force: true })
}

const staleMs = 60_000
const retryMs = 50

/**
 * Runs `change` while no other process changes this login: providers take back a whole login when a refresh token
 * is used twice, and kubectl starts many of us at once.
 */
export async function withLoginLock<T>(
  contextsFile: string,
  name: string,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
  change: () => Promise<T>,
): Promise<T> {
  const lock = `${loginPath(contextsFile, name)}.lock`
  makeFolder(path.dirname(lock), 0o700)
  for (const deadline = clock.monotonic() + 2 * staleMs; ;) {
    try {
      closeSync(openSync(lock, 'wx', 0o600))
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    // A process that was killed leaves its lock behind.
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
    if (since !== undefined && clock.now() - since > staleMs) rmSync(lock, { force: true })
    if (clock.monotonic() > deadline)
      throw new Fault('SETTING_INVALID', `${lock} does not go away: remove it`)
    await clock.sleep(retryMs, { signal })
  }
  try {
    return await change()
  } finally {
    rmSync(lock, { force: true })
  }
}
