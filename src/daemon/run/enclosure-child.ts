import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { addLocalDefaultRoutes, bringLoopbackUp, mount, mountFlags } from '#base/syscall'
import { systemBundlePaths } from '#daemon/trust'
import { callDaemon } from './daemon-client.ts'
import type { EnclosureOrder } from './enclosure.ts'
import { openNameServer } from './name-server.ts'
import { openRelays } from './relay.ts'
import { standInFor } from './signals.ts'

// The enclosing process: root in namespaces of its own. It prepares them, relays, and runs the command as the
// caller again.

/** Puts a file over `target` in this mount namespace. */
function bindOver(target: string, source: string): void {
  if (existsSync(target)) mount({ source, target, flags: mountFlags.bind })
}

/** Puts `content` over `target`; the file that it comes from is gone at once, the mount keeps it. */
function bindContent(target: string, content: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-run-'))
  try {
    const source = join(folder, 'file')
    writeFileSync(source, content, { mode: 0o644 })
    bindOver(target, source)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Names come from our name server, and from nobody that a library would ask past it. */
function furnishNames(): void {
  bindContent('/etc/resolv.conf', 'nameserver 127.0.0.1\n')
  if (!existsSync('/etc/nsswitch.conf')) return
  const services = readFileSync('/etc/nsswitch.conf', 'utf8')
  bindContent('/etc/nsswitch.conf', services.replace(/^hosts:.*$/m, 'hosts: files dns'))
}

async function furnish({ facts, controlSocket }: EnclosureOrder): Promise<void> {
  bringLoopbackUp()
  const { ipv6 } = addLocalDefaultRoutes()
  furnishNames()
  for (const path of systemBundlePaths) bindOver(path, facts.trustBundle)
  await openNameServer({
    overriddenHosts: facts.overriddenHosts,
    async resolve(host) {
      const answer = await callDaemon(controlSocket, 'POST', '/resolve', { host })
      return (answer as { addresses: readonly string[] }).addresses
    },
  })
  await openRelays({ ports: facts.ports, ipv6, connectSocket: facts.connectSocket })
}

/** Runs the command as the caller, in a user namespace of its own in which it has no capability over ours. */
async function runAsCaller({ command, args, env, uid, gid }: EnclosureOrder): Promise<number> {
  const privileges = uid === 0 ? ['--bounding-set=-all', '--inh-caps=-all'] : []
  const start = () =>
    spawn(
      'unshare',
      [
        '--user',
        `--map-user=${uid}`,
        `--map-group=${gid}`,
        '--',
        'setpriv',
        '--pdeathsig=KILL',
        ...privileges,
        '--',
        command,
        ...args,
      ],
      { stdio: 'inherit', env },
    )
  return await standInFor(start)
}

process.once('message', (message) => {
  const order = message as EnclosureOrder
  furnish(order)
    .then(() => runAsCaller(order))
    .catch((error: Error) => {
      process.send?.({ failure: error.message })
      return 1
    })
    .then((code) => process.exit(code))
    .catch(() => process.exit(1))
})
