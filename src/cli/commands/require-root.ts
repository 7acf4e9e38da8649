import { Fault } from '#base/errors'

/** @throws Fault SETTING_INVALID, naming `what` cannot be done, for anybody but root */
export function requireRoot(what: string, uid = process.getuid!()): void {
  if (uid === 0) return
  throw new Fault('SETTING_INVALID', `${what} needs root`, { hint: 'run it with sudo' })
}
