import { agentHost, binding, identity, service, source } from './resources.ts'
import { python, uids, type World } from './world.ts'

/** Binds the identified user's Python, as `agent`, to the runtime: resolves when that is in effect. */
export async function bindAgent(world: World): Promise<void> {
  await world.createRole('agents', 'agent')
  await world.apply(
    identity('agent', { 'process:uid': uids.identified, 'process:binary:path': python }),
    service('runtime', agentHost),
    source('agents'),
    binding('agent', { from: 'agents', to: 'runtime' }),
  )
  await world.untilBound('agent')
}
