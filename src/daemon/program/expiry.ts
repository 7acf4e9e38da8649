import type { Clock, EpochMs } from '#base/clock'
import type { Log } from '#base/log'
import type { ReportedCondition } from '#daemon/sync'
import { overdueAt } from '#model/credential'
import { credentialKey, type Scope } from '#model/scope'
import type { ConditionBoard } from './conditions.ts'

/** Says of each binding whose credential nobody renews when that ends: before requests fail for it, and once they do. */
export interface ExpiryWatch {
  look(scope: Scope): void
  /** Looks again and again until abort. */
  run(scope: () => Scope, options: { signal: AbortSignal }): Promise<void>
}

const lookEveryMs = 500

/** What is said does not change with time but at the end: every change of a condition is written by the server. */
function overdue({ bindings, credentials }: Scope, at: EpochMs): ReportedCondition[] {
  return [...bindings.values()].flatMap(({ name, spiffeId, sourceName }) => {
    const { credential } = credentials.get(credentialKey(spiffeId, sourceName)) ?? {}
    if (!credential || at < overdueAt(credential)) return []
    const hasExpired = at >= credential.expiresAt
    const until = new Date(credential.expiresAt).toISOString()
    const ends = hasExpired ? `has expired, at ${until}` : `expires at ${until}`
    return {
      subject: `credentialbinding/${name}`,
      type: 'CredentialRenewed',
      status: 'False',
      reason: hasExpired ? 'Expired' : 'ExpiresSoon',
      message: `the credential ${ends}, and no other has come: see \`tideway ctl describe credentialbinding ${name}\`, and whether this node reaches its control plane`,
    }
  })
}

export function openExpiryWatch({
  board,
  clock,
  log,
}: {
  board: ConditionBoard
  clock: Clock
  log: Log
}): ExpiryWatch {
  let said: ReadonlySet<string> = new Set()

  function look(scope: Scope): void {
    const conditions = overdue(scope, clock.now())
    for (const { subject, reason, message } of conditions) {
      if (!said.has(message)) log.warn('credential.not-renewed', { subject, reason, message })
    }
    said = new Set(conditions.map(({ message }) => message))
    board.replace('CredentialRenewed', conditions)
  }

  return {
    look,
    async run(scope, { signal }) {
      while (!signal.aborted) {
        look(scope())
        await clock.sleep(lookEveryMs, { signal }).catch(() => {})
      }
    },
  }
}
