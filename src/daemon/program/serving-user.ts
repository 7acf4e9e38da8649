import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { Fault } from '#base/errors'
import { setNoNewPrivileges } from '#base/syscall'
import { hardenProcess } from '#daemon/processes'

export interface ServingUser {
  readonly uid: number
  readonly gid: number
}

// Outside of what distributions give to people and packages: nobody else should run under it.
const fallbackId = 64_099
const defaultName = 'tideway'

function lookUp(name: string): ServingUser | undefined {
  const idOf = (flag: string) =>
    Number(execFileSync('id', [flag, '--', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  try {
    return { uid: idOf('-u'), gid: idOf('-g') }
  } catch {
    return undefined
  }
}

/**
 * The user as which a daemon started as root serves: by name or number. SECURITY: one of its own, for any process
 * of the same user may share the proxy port and signal the daemon (security rule 3).
 * @throws Fault SETTING_INVALID
 */
export function findServingUser(setting: string | undefined): ServingUser {
  if (setting === undefined) return lookUp(defaultName) ?? { uid: fallbackId, gid: fallbackId }
  const number = /^\d+$/.test(setting) ? Number(setting) : undefined
  const user = lookUp(setting) ?? (number === undefined ? undefined : { uid: number, gid: number })
  if (!user) throw new Fault('SETTING_INVALID', `there is no user ${setting}`)
  if (user.uid === 0) throw new Fault('SETTING_INVALID', 'the daemon does not serve as root')
  return user
}

/**
 * Becomes the user for good, and makes sure of it.
 * @throws Fault INTERNAL when a thread kept a capability
 */
export function becomeUser({ uid, gid }: ServingUser): void {
  process.setgroups!([])
  process.setgid!(gid)
  process.setuid!(uid) // by the C library, for every thread: the kernel then takes all capabilities away
  setNoNewPrivileges()
  hardenProcess() // a change of user makes a process dumpable again
  for (const thread of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'latin1')
    const dropped = ['CapPrm', 'CapEff', 'CapInh', 'CapAmb'].every((set) =>
      new RegExp(`^${set}:\\t0+$`, 'm').test(status),
    )
    if (!dropped) throw new Fault('INTERNAL', `thread ${thread} kept capabilities after the change of user`)
  }
}
