import { renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import { contextFilePath, openFetch, selectContext } from '#cli/context'
import type { Cli } from './cli.ts'

async function fetchJson({ env, signal }: Cli, url: string): Promise<Record<string, unknown>> {
  const { caPem } = selectContext(contextFilePath(env))
  const response = await openFetch({ caPem, signal })(url)
  if (!response.ok) throw new Fault('SERVER_UNREACHABLE', `${url} answers with status ${response.status}`)
  return (await response.json()) as Record<string, unknown>
}

function writeDocument(file: string, document: unknown): void {
  try {
    makeFolder(path.dirname(file), 0o755)
    writeFileSync(`${file}.new`, `${JSON.stringify(document, null, 2)}\n`)
    renameSync(`${file}.new`, file)
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${file}: ${(error as Error).message}`, { cause: error })
  }
}

async function publish(cli: Cli, directory: string): Promise<void> {
  const { server } = selectContext(contextFilePath(cli.env))
  const discovery = await fetchJson(cli, `${server}/oidc/.well-known/openid-configuration`)
  const { issuer } = discovery
  if (typeof issuer !== 'string')
    throw new Fault('SERVER_UNREACHABLE', `${server} has no OIDC discovery document`)
  // The server may not be reachable at its public URL from here: the keys are fetched where it does answer.
  const keysPath = String(discovery['jwks_uri']).slice(issuer.length)
  const keys = await fetchJson(cli, `${server}/oidc${keysPath}`)
  writeDocument(path.join(directory, '.well-known/openid-configuration'), discovery)
  writeDocument(path.join(directory, keysPath), keys)
  cli.terminal
    .say(`written to ${directory}: upload it so that ${issuer} serves it, with content type application/json
repeat it after every rotation of the keys, before the new key starts to sign ('tideway keys list' says when)`)
}

export function oidcCommand(cli: Cli): Command {
  const command = new Command('oidc').description('Publish the OIDC issuer')
  command
    .command('publish <DIR>')
    .description(
      'Write the discovery document and the public keys as static files: any bucket is a public issuer',
    )
    .action((directory: string) => publish(cli, directory))
  return command
}
