import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Store } from '#server/store'
import type { Leadership, Term } from './ports.ts'

/** A server of a test: joins, and does its duty until it is stopped. */
export interface Candidate {
  readonly leadership: Leadership
  readonly terms: Term[]
  /** Resolves with the next term that begins, or the present one. */
  leads(): Promise<Term>
  stop(): Promise<void>
}

export async function openCandidate(leadership: Leadership): Promise<Candidate> {
  const stop = new AbortController()
  const terms: Term[] = []
  let waiting: (() => void)[] = []
  const running = leadership.run({
    signal: stop.signal,
    async duty(term) {
      terms.push(term)
      for (const wake of waiting) wake()
      waiting = []
      await new Promise<void>((resolve) =>
        term.signal.addEventListener('abort', () => resolve(), { once: true }),
      )
    },
  })
  return {
    leadership,
    terms,
    async leads() {
      for (;;) {
        const last = terms.at(-1)
        if (last && !last.signal.aborted) return last
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
    },
    async stop() {
      stop.abort()
      await running
      await leadership[Symbol.asyncDispose]()
    },
  }
}

/** What holds of every leadership. `join` is called with one store, once. */
export function testLeadership(
  name: string,
  join: (context: TestContext) => Promise<{ store: Store; leadership: Leadership }>,
): void {
  void test(`${name}: a server alone leads, and what it writes counts`, async (context) => {
    const { store, leadership } = await join(context)
    const candidate = await openCandidate(leadership)
    const term = await candidate.leads()
    const written = await term.store.transaction([], [{ type: 'put', key: '/a', value: Buffer.from('1') }])
    assert.equal(written.ok, true)
    assert.equal(Buffer.from((await store.get('/a'))!.value).toString(), '1')
    const conflict = await term.store.transaction([{ key: '/a', modRevision: 0 }], [])
    assert.deepEqual(conflict, { ok: false, conflict: '/a' })
    assert.deepEqual(leadership.members(), [leadership.id])
    await candidate.stop()
    assert.equal(term.signal.aborted, true)
    assert.equal(candidate.terms.length, 1)
  })
}
