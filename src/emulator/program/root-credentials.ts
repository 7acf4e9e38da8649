import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { Fault } from '#base/errors'
import { Secret } from '#base/secret'
import { newId, newSecretAccessKey, type AccessKey } from '#emulator/aws'

/**
 * The access key of the account's root user: read from a file in the shared-credentials form of the AWS tools
 * (profile `default`), or made and written there (0600) when the file does not exist.
 * @throws Fault SETTING_INVALID
 */
export function readOrCreateRootKey(path: string, accountId: string): AccessKey {
  const principal = { kind: 'root', arn: `arn:aws:iam::${accountId}:root`, userId: accountId } as const
  if (existsSync(path)) {
    const content = readFileSync(path, 'utf8')
    const id = /^aws_access_key_id\s*=\s*(\S+)\s*$/m.exec(content)?.[1]
    const secret = /^aws_secret_access_key\s*=\s*(\S+)\s*$/m.exec(content)?.[1]
    if (id !== undefined && secret !== undefined) return { id, secret: Secret.of(secret), principal }
    throw new Fault('SETTING_INVALID', `${path} has no aws_access_key_id and aws_secret_access_key`)
  }
  const key = { id: newId('AKIA'), secret: newSecretAccessKey(), principal }
  const content = `[default]\naws_access_key_id = ${key.id}\naws_secret_access_key = ${key.secret.revealText()}\n`
  // SECURITY: plain on disk because it is the key of no cloud: it opens this process's memory, and dies with it.
  writeFileSync(path, content, { mode: 0o600, flag: 'wx' })
  return key
}
