// The requests of a table, put to a server.
import type { Answer } from './http.ts'
import { normal, readJson, type Normal } from './normal.ts'
import type { Server } from './servers.ts'

/** A request. */
export interface Case {
  /** What is asked, in few words. */
  readonly name: string
  /** GET unless given. */
  readonly method?: string
  /**
   * With its query, sent as it is. `<NAME.path.in.answer>`, here and in the body, stands for what an earlier answer
   * of the same table said there.
   */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** An object goes as JSON, a text as it is. */
  readonly body?: unknown
  /** Content type of the body; `application/json` unless given. */
  readonly type?: string
  /** By which later cases speak of the answer. */
  readonly as?: string
  /** For answers that go on: which time passes until they end. */
  readonly endsAfterMs?: number
  /** Whether the server has forgotten what there was before. */
  readonly forgets?: boolean
}

/** Requests that follow one another, in a namespace of their own that is called as they are. */
export interface Table {
  readonly name: string
  readonly cases: readonly Case[]
}

type Answers = Map<string, unknown>

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((node, step) => (node as Record<string, unknown> | undefined)?.[step], value)
}

function filled(text: string, answers: Answers): string {
  return text.replaceAll(/<(\w+)((?:\.\w+)+)>/g, (whole, name: string, path: string) => {
    const value = valueAt(answers.get(name), path.slice(1).split('.'))
    return typeof value === 'string' ? value : whole
  })
}

/** Puts a table to a server, one request after the other. */
export async function* answersTo(server: Server, { cases }: Table): AsyncGenerator<Normal> {
  const answers: Answers = new Map()
  for (const one of cases) {
    const { method = 'GET', path, headers = {}, body, type = 'application/json', as, endsAfterMs } = one
    if (one.forgets) await server.forget()
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const message = {
      method,
      path: filled(path, answers),
      headers: {
        authorization: `Bearer ${server.token}`,
        'user-agent': 'peer/1.0',
        ...(body !== undefined && { 'content-type': type }),
        ...headers,
      },
      body: text === undefined ? undefined : filled(text, answers),
    }
    const asked = server.send(message)
    const answer = endsAfterMs === undefined ? await asked : await untilEnd(server, asked, endsAfterMs)
    if (as !== undefined) answers.set(as, readJson(answer.text))
    yield normal(answer)
  }
}

async function untilEnd(server: Server, asked: Promise<Answer>, ms: number): Promise<Answer> {
  const ended = asked.then(() => true)
  const pause = () => server.passTime(ms).then(() => false)
  while (!(await Promise.race([ended, pause()])));
  return asked
}
