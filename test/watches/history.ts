// Changes of which nobody but us writes any, so that it is known what a watch must show, also of a server that is
// killed while it is written to.
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'

/** What is written to. */
export interface Target {
  /** Of the collection. */
  readonly path: string
  readonly apiVersion: string
  readonly kind: string
  readonly spec?: object
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

/** Rejects when the server is not reached, or is lost before it has answered. */
export type Send = (method: string, path: string, body?: object) => Promise<Answer>

export interface History {
  readonly target: Target
  /** `add NAME STEP VERSION`, `update NAME STEP VERSION`, `delete NAME`, in the order in which it was written. */
  readonly written: readonly string[]
  /** Writes the next change; a server that is away is waited for. */
  write(): Promise<void>
  /** Writes an object named `end`, after which there is nothing. */
  end(): Promise<void>
}

export const secretsIn = (namespace: string): Target => ({
  path: `/api/v1/namespaces/${namespace}/secrets`,
  apiVersion: 'v1',
  kind: 'Secret',
})

/** The server writes to these too: their state. */
export const servicesIn = (namespace: string): Target => ({
  path: `/apis/core.riptides.io/v1alpha1/namespaces/${namespace}/services`,
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  spec: {
    labels: { app: 'watched' },
    addresses: [{ address: 'watched.example.org', port: 443 }],
    external: true,
  },
})

/** How long a server may be away. */
const patienceMs = 120_000
const width = 5
/** The life of each name, again and again: it is another object each time. */
const life = ['add', 'update', 'update', 'delete'] as const

interface Stored {
  readonly metadata: { readonly resourceVersion: string; readonly labels?: { readonly step?: string } }
}

export function openHistory(send: Send, target: Target): History {
  const written: string[] = []
  let steps = 0

  /** Undefined while the server is away. */
  async function tried(method: string, path: string, body?: object): Promise<Answer | undefined> {
    const answer = await send(method, path, body).catch(() => undefined)
    return answer && answer.status < 500 ? answer : undefined
  }

  /** What is stored there; waits for the server. */
  async function read(path: string): Promise<Stored | undefined> {
    const deadline = systemClock.monotonic() + patienceMs
    for (;;) {
      const answer = await tried('GET', path)
      if (answer?.status === 404) return undefined
      if (answer?.status === 200) return answer.body as Stored
      assert.ok(systemClock.monotonic() < deadline, `${path} cannot be read: ${JSON.stringify(answer?.body)}`)
      await delay(20)
    }
  }

  async function put(method: 'POST' | 'PUT', name: string, step: string): Promise<string> {
    const { path, spec, ...type } = target
    const object = { ...type, metadata: { name, labels: { step } }, ...(spec && { spec }) }
    for (;;) {
      const answer = await tried(method, method === 'POST' ? path : `${path}/${name}`, object)
      if (answer && answer.status < 300) return (answer.body as Stored).metadata.resourceVersion
      assert.equal(answer, undefined, `${method} ${name}: ${JSON.stringify(answer?.body)}`)
      // It was lost before it answered: perhaps it has written that.
      const found = await read(`${path}/${name}`)
      if (found?.metadata.labels?.step === step) return found.metadata.resourceVersion
    }
  }

  async function remove(name: string): Promise<void> {
    const path = `${target.path}/${name}`
    for (;;) {
      const answer = await tried('DELETE', path)
      if (answer && answer.status < 300) return
      assert.equal(answer, undefined, `DELETE ${name}: ${JSON.stringify(answer?.body)}`)
      if ((await read(path)) === undefined) return
    }
  }

  return {
    target,
    written,
    async write() {
      const step = steps++
      const name = `watched-${step % width}`
      const type = life[Math.floor(step / width) % life.length]!
      if (type === 'delete') {
        await remove(name)
        written.push(`delete ${name}`)
      } else {
        const version = await put(type === 'add' ? 'POST' : 'PUT', name, String(step))
        written.push(`${type} ${name} ${step} ${version}`)
      }
    },
    end: async () => void (await put('POST', 'end', 'end')),
  }
}
