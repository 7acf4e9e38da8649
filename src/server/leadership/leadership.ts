import { randomUUID } from 'node:crypto'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { untilAborted } from '#base/lifecycle'
import type { Log } from '#base/log'
import { runtimePrefix, type Store, type StoreEntry } from '#server/store'
import type { Leadership } from './ports.ts'

const memberPrefix = `${runtimePrefix}members/`
const leaderKey = `${runtimePrefix}leader`
const beatEveryMs = 1_000
const lookEveryMs = 500
/** For the answer whether this server could lead. */
const patienceMs = 500
/** Without a sign of life for so long a server counts as gone. */
const lifeMs = 3_000
/** A leader that could not say for so long that it lives acts as if it had been replaced. */
const resignAfterMs = 2_000
/** The sign of life of a server that cannot do what one that leads has to; of others it is their id. */
const unable = 'unable'

/** Whether a server runs on `store`: it says so every second, which is waited for where one did before. */
export async function isInUse(store: Pick<Store, 'list'>, clock: Clock): Promise<boolean> {
  const before = await store.list(memberPrefix)
  if (before.entries.length === 0) return false
  await clock.sleep(lifeMs)
  const { entries } = await store.list(memberPrefix)
  return entries.some(({ modRevision }) => modRevision > before.revision)
}

/** A server that has its store alone. */
export function openSoleLeadership(store: Store): Leadership {
  const id = randomUUID()
  return {
    id,
    isFirst: async () => true,
    members: () => [id],
    missedAfterMs: 0,
    run: ({ signal, duty }) => duty({ signal, store }),
    async [Symbol.asyncDispose]() {},
  }
}

/** The store of a term: each write compares who leads, in its own transaction. */
function fence(store: Store, term: number, onLost: () => void): Store {
  const compare = { key: leaderKey, modRevision: term }
  return {
    get: (key) => store.get(key),
    list: (...args) => store.list(...args),
    count: (...args) => store.count(...args),
    watch: (...args) => store.watch(...args),
    async transaction(compares, operations) {
      const outcome = await store.transaction([compare, ...compares], operations)
      if (outcome.ok || outcome.conflict !== leaderKey) return outcome
      onLost()
      throw new Fault('STORE_UNAVAILABLE', 'another server leads by now')
    },
    replaceAll: () => Promise.reject(new TypeError('a term does not replace its own store')),
    // It belongs to whoever opened it.
    async [Symbol.asyncDispose]() {},
  }
}

/**
 * Joins the servers on `store`. Each gives a sign of life every second; nobody's clock is compared with another's:
 * who sees no new sign for three seconds of its own takes the lead, by a compare-and-swap that one can win. One that is
 * not able to lead leaves that to those that are, if there are any: alone it does what it can.
 */
export async function openElection({
  store,
  expectAble,
  clock,
  log,
}: {
  store: Store
  /** Rejects while this server cannot do what one that leads has to. Asked every second, and before it leads. */
  expectAble: (how: { byTrying: boolean }) => Promise<void>
  clock: Clock
  log: Log
}): Promise<Leadership> {
  const id = randomUUID()
  const ownKey = memberPrefix + id
  /** When each sign of life was first seen here. */
  const seen = new Map<string, { modRevision: number; at: number; isAble: boolean }>()
  const closed = new AbortController()
  /** When the last sign of its own life began that is known to have been written. */
  let lastBeat = clock.monotonic()
  let leader: StoreEntry | undefined
  let term: { readonly number: number; readonly lost: AbortController } | undefined
  let isAble = true

  const isLive = (member: string) => {
    const sign = seen.get(member)
    return sign !== undefined && clock.monotonic() - sign.at < lifeMs
  }
  const leaderId = () => leader && Buffer.from(leader.value).toString()
  const isAnotherAble = () =>
    seen.entries().some(([member, sign]) => member !== id && sign.isAble && isLive(member))

  async function look(): Promise<void> {
    const { entries } = await store.list(runtimePrefix)
    leader = entries.find(({ key }) => key === leaderKey)
    const members = entries.filter(({ key }) => key.startsWith(memberPrefix))
    const present = new Set(members.map(({ key }) => key.slice(memberPrefix.length)))
    for (const member of seen.keys()) if (!present.has(member)) seen.delete(member)
    for (const { key, modRevision, value } of members) {
      const member = key.slice(memberPrefix.length)
      if (seen.get(member)?.modRevision === modRevision) continue
      const isAble = Buffer.from(value).toString() !== unable
      seen.set(member, { modRevision, at: clock.monotonic(), isAble })
    }
    if (term && leader?.modRevision !== term.number) resign()
  }

  const beat = () =>
    store.transaction([], [{ type: 'put', key: ownKey, value: Buffer.from(isAble ? id : unable) }])

  function resign(): void {
    if (!term) return
    log.warn('leadership.lost', { server: id })
    term.lost.abort(new Fault('STORE_UNAVAILABLE', 'this server leads no more'))
    term = undefined
  }

  /** Looks by trying. A disk that hangs must not keep this server from saying that it lives. */
  async function tryAbility(): Promise<void> {
    const answered = new AbortController()
    const late = async () => {
      await clock.sleep(patienceMs, { signal: answered.signal, unref: true })
      throw new Fault('STORE_UNAVAILABLE', 'this server does not find out whether it could lead')
    }
    const trial = expectAble({ byTrying: true })
    await noteAbility(Promise.race([trial, late()]).finally(() => answered.abort()))
  }

  async function noteAbility(asked: Promise<void>): Promise<void> {
    const reason = await asked.then(
      () => undefined,
      (error: unknown) => error,
    )
    if (isAble && reason !== undefined) log.warn('leadership.unable', { server: id, error: reason })
    isAble = reason === undefined
  }

  /** Unless this server turns out to be unable, and another is not. */
  async function takeLead(): Promise<void> {
    await tryAbility()
    if (!isAble && isAnotherAble()) return
    const outcome = await store.transaction(
      [{ key: leaderKey, modRevision: leader?.modRevision ?? 0 }],
      [{ type: 'put', key: leaderKey, value: Buffer.from(id) }],
    )
    if (!outcome.ok) return
    term = { number: outcome.revision, lost: new AbortController() }
    log.info('leadership.won', { server: id, term: term.number })
  }

  /** Leaves the lead to another, at once: nobody has to wait until this server is missed. */
  async function giveUpLead({ modRevision }: StoreEntry): Promise<void> {
    resign()
    await store.transaction([{ key: leaderKey, modRevision }], [{ type: 'delete', key: leaderKey }])
    leader = undefined
  }

  /** Who leads buries the dead: what they said of themselves goes with them. */
  async function bury({ store, lost }: { store: Store; lost: AbortController }): Promise<void> {
    const dead = [...seen.keys()].filter((member) => !isLive(member))
    if (dead.length === 0 || lost.signal.aborted) return
    const { entries } = await store.list(runtimePrefix)
    const keys = entries
      .map(({ key }) => key)
      .filter((key) => dead.some((member) => key.endsWith(`/${member}`)))
    await store.transaction(
      [],
      keys.map((key) => ({ type: 'delete', key })),
    )
    log.warn('leadership.server-gone', { servers: dead })
  }

  /** Says every second that this server lives. */
  async function live({ signal }: { signal: AbortSignal }): Promise<void> {
    let lastTry = -Infinity
    while (!signal.aborted) {
      try {
        if (clock.monotonic() - lastTry >= beatEveryMs) {
          lastTry = clock.monotonic()
          await beat()
          lastBeat = lastTry
        }
        await look()
        const present = leaderId()
        if (!isAble && isAnotherAble()) {
          if (leader && present === id) await giveUpLead(leader)
        } else if (!term && (present === undefined || present === id || !isLive(present))) await takeLead()
        if (term) await bury({ store: fence(store, term.number, resign), lost: term.lost })
      } catch (error) {
        log.warn('leadership.unknown', { error })
      }
      await clock.sleep(lookEveryMs, { signal, unref: true }).catch(() => {})
    }
  }

  /** Leads no more when it cannot say that it lives, also while the store leaves it without an answer. */
  async function resignInTime({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      if (clock.monotonic() - lastBeat > resignAfterMs) resign()
      await clock.sleep(lookEveryMs, { signal, unref: true }).catch(() => {})
    }
  }

  async function watchAbility({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      // In a turn of its own, however long it takes.
      await noteAbility(expectAble({ byTrying: false }))
      await clock.sleep(beatEveryMs, { signal, unref: true }).catch(() => {})
    }
  }

  async function serve(
    duty: Parameters<Leadership['run']>[0]['duty'],
    { signal }: { signal: AbortSignal },
  ): Promise<void> {
    while (!signal.aborted) {
      const current = term
      if (current) {
        const termSignal = AbortSignal.any([signal, current.lost.signal])
        try {
          await duty({ signal: termSignal, store: fence(store, current.number, resign) })
        } catch (error) {
          if (!termSignal.aborted) throw error
        }
        if (!termSignal.aborted) await untilAborted(termSignal)
      }
      if (term === current) await clock.sleep(lookEveryMs / 2, { signal, unref: true }).catch(() => {})
    }
  }

  await tryAbility()
  await beat()
  await look()
  const living = Promise.all([live(closed), resignInTime(closed), watchAbility(closed)])
  return {
    id,
    missedAfterMs: lifeMs + 2 * lookEveryMs,
    async isFirst() {
      const known = () =>
        term !== undefined || (leader !== undefined && isLive(leaderId()!) && leaderId() !== id)
      while (!known() && !closed.signal.aborted) {
        await clock.sleep(lookEveryMs / 10, { signal: closed.signal }).catch(() => {})
      }
      return term !== undefined
    },
    members: () => [...seen.keys()].filter(isLive),
    run: ({ signal, duty }) => serve(duty, { signal }),
    async [Symbol.asyncDispose]() {
      closed.abort()
      await living
      const own = [ownKey, ...(term ? [leaderKey] : [])]
      const compares = term ? [{ key: leaderKey, modRevision: term.number }] : []
      resign()
      await store
        .transaction(
          compares,
          own.map((key) => ({ type: 'delete', key })),
        )
        .catch(() => {})
    },
  }
}
