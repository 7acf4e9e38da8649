import { openResourceClient, type ResourceClient } from '#client/resource-api'
import { bearerToken, contextFilePath, openFetch, selectContext } from '#cli/context'
import type { Cli } from './cli.ts'

/** The resource API of the current context; the server's warnings are shown as kubectl shows them. */
export function openApi(
  { env, terminal, clock, signal }: Cli,
  { namespace }: { namespace?: string | undefined } = {},
): ResourceClient {
  const contextsFile = contextFilePath(env)
  const context = selectContext(contextsFile)
  return openResourceClient({
    url: context.server,
    token: async () => (await bearerToken(context, { contextsFile, clock, signal })).token,
    fetch: openFetch({ caPem: context.caPem, signal }),
    namespace,
    onWarning: (warning) => terminal.say(`Warning: ${warning}`),
  })
}
