import type { Command } from 'commander'
import { contextFilePath, contextNameFor, saveContext } from '#cli/context'
import type { Cli } from './cli.ts'
import { programCommand } from './program-command.ts'

export async function serverCommand(cli: Cli): Promise<Command> {
  const { runServer, serverSettings } = await import('#server/program')
  const { terminal, env, signal } = cli
  const description = 'Run the control plane: resource API, OIDC issuer, SPIFFE CA and credential exchange'
  return programCommand(cli, 'server', description, serverSettings, async (settings) => {
    await runServer(settings, {
      signal,
      credentialsDirectory: env['CREDENTIALS_DIRECTORY'],
      passFile: env['PGPASSFILE'],
      saveAdminAccess: ({ name: wanted, token, ...place }) => {
        const file = contextFilePath(env)
        const name = contextNameFor(file, wanted, place)
        saveContext(file, { ...place, name, token: token.revealText() }, { makeCurrent: true })
        terminal.say(
          [
            ...(name === wanted ? [] : [`context "${wanted}" is another server's and stays as it is`]),
            `the administrator's token is in ${file}, as context "${name}"; it is shown nowhere else`,
            '  if it is lost: start once with --reset-admin-token',
          ].join('\n'),
        )
      },
      onReady: ({ url, issuerUrl, nodeEndpoint, healthUrl, caHash, caFile }) => {
        terminal.say(
          [
            `the control plane answers at ${url}`,
            `  OIDC issuer:  ${issuerUrl}`,
            `  daemons:      ${nodeEndpoint}`,
            `  health:       ${healthUrl}`,
            ...(caHash ? [`  its CA:       ${caFile}`, `  CA hash:      ${caHash}`] : []),
          ].join('\n'),
        )
      },
    })
  })
}
