/** What one connection, or one stream of HTTP/2, keeps with us because a peer does not read or does not go on. */
export interface Holder {
  /** Bytes at this moment. */
  readonly backlog: number
  /** Gives up on it. */
  shed(reason: string): void
}

/** What anyone may keep here in any case: less does not count. */
const ordinaryBytes = 16 * 1024

interface Account {
  total: number
  readonly holders: { readonly holder: Holder; readonly bytes: number }[]
}

/**
 * Weighs what waits in our memory, once: filled with every holder, then `shed`.
 *
 * SECURITY: weighed where it lies, not counted as it comes and goes: requests do no more for it, and no way for a
 * connection to end can leave a count behind.
 */
export class Backlogs<Owner> {
  readonly #accounts = new Map<Owner, Account>()

  add(owner: Owner, holder: Holder): void {
    const bytes = holder.backlog
    if (bytes <= ordinaryBytes) return
    const account = this.#accounts.get(owner)
    if (account) {
      account.total += bytes
      account.holders.push({ holder, bytes })
    } else {
      this.#accounts.set(owner, { total: bytes, holders: [{ holder, bytes }] })
    }
  }

  /**
   * Has owners keep no more than `maxPerOwner` each and `maxTotal` together, from the largest of their holders on.
   * Where all together are too many, everyone has the same share, so that who keeps little is never touched. Answers
   * how many holders were shed, and the bytes of those that stay.
   */
  shed({ maxPerOwner, maxTotal }: { maxPerOwner: number; maxTotal: number }): { shed: number; kept: number } {
    const accounts = [...this.#accounts.values()]
    const share = Math.min(maxPerOwner, fairShare(accounts, maxTotal))
    let shed = 0
    let kept = 0
    for (const { total, holders } of accounts) {
      let excess = total - share
      kept += total
      if (excess <= 0) continue
      holders.sort((a, b) => b.bytes - a.bytes)
      for (const { holder, bytes } of holders) {
        if (excess <= 0) break
        holder.shed(tellOf(share))
        excess -= bytes
        kept -= bytes
        shed += 1
      }
    }
    return { shed, kept }
  }
}

function tellOf(share: number): string {
  return (
    `requests of this identity have more than ${Math.floor(share / 1024)} KiB waiting in the daemon: ` +
    'send fewer at a time, and read what is answered'
  )
}

/** The most that each may have so that all together have no more than `max`. */
function fairShare(accounts: readonly Account[], max: number): number {
  let left = max
  let others = accounts.length
  for (const total of accounts.map((account) => account.total).sort((a, b) => a - b)) {
    if (total > left / others) return left / others
    left -= total
    others -= 1
  }
  return Infinity
}
