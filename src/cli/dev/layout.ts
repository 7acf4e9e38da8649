import path from 'node:path'
import { makeFolder } from '#base/files'
import { freePort, isFree } from './free-port.ts'

/** Where a development stack keeps things and listens. */
export interface Layout {
  readonly base: string
  readonly serverData: string
  readonly daemonState: string
  readonly run: string
  readonly emulatorState: string
  readonly logs: string
  readonly contexts: string
  /** Address and ports, all loopback unless the stack has a network namespace of its own. */
  readonly api: string
  readonly node: string
  readonly health: string
  readonly proxy: string
  readonly cloudAddress: string
  readonly cloudPort: number
}

/** `preferred` when it is free, else another one: a development stack must not fail because 8443 is taken. */
async function portNear(address: string, preferred: number): Promise<number> {
  return (await isFree(address, preferred)) ? preferred : await freePort(address)
}

/**
 * Plans a stack under `base` and makes its directories. `cloud` is where the emulator listens: 443 on an address of
 * its own in a private network namespace, any loopback port otherwise. `usualPorts` are for a stack that a user
 * speaks to: of two stacks that start together, both could find them free.
 */
export async function planLayout(
  base: string,
  {
    cloud = { address: '127.0.0.1' },
    usualPorts,
  }: { cloud?: { address: string; port?: number }; usualPorts: boolean },
): Promise<Layout> {
  const at = (name: string) => path.join(base, name)
  for (const name of ['server', 'daemon', 'emulator', 'logs', 'workload']) makeFolder(at(name), 0o700)
  const loopback = async (usual: number) => {
    const port = usualPorts ? await portNear('127.0.0.1', usual) : await freePort('127.0.0.1')
    return `127.0.0.1:${port}`
  }
  return {
    base,
    serverData: at('server'),
    daemonState: at('daemon'),
    run: at('run'),
    emulatorState: at('emulator'),
    logs: at('logs'),
    contexts: at('contexts.yaml'),
    api: await loopback(8443),
    node: await loopback(9443),
    health: await loopback(8080),
    proxy: await loopback(15001),
    cloudAddress: cloud.address,
    cloudPort: cloud.port ?? (await freePort(cloud.address)),
  }
}
