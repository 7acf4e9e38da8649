import { openResourceClient, type ResourceClient } from '#client/resource-api'
import { contextFilePath, openFetch, selectContext } from '#cli/context'
import type { Cli } from './cli.ts'

/** The resource API of the current context; the server's warnings are shown as kubectl shows them. */
export function openApi(
  { env, terminal, signal }: Cli,
  { namespace }: { namespace?: string | undefined } = {},
): ResourceClient {
  const { server, token, caPem } = selectContext(contextFilePath(env))
  return openResourceClient({
    url: server,
    token: () => token,
    fetch: openFetch({ caPem, signal }),
    namespace,
    onWarning: (warning) => terminal.say(`Warning: ${warning}`),
  })
}
