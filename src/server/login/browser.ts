import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { FastifyReply } from 'fastify'

/** How long somebody has to log in. */
export const flowSeconds = 600

// SECURITY: only for this host, over HTTPS, out of reach of scripts, and not sent along by forms of other sites.
export const loginCookie = '__Host-tideway-login'
export const deviceCookie = '__Host-tideway-device'
const cookieRules = 'Path=/; HttpOnly; Secure; SameSite=Lax'

export type Fields = Readonly<Record<string, string | undefined>>

/** A code holds all the groups of somebody. */
const maxFieldLength = 16_384

/** Parameters that are there once; what is there twice is not there (RFC 6749 section 3.1). */
export function fieldsOf(parameters: unknown): Fields {
  const entries = Object.entries((parameters ?? {}) as Readonly<Record<string, unknown>>)
  return Object.fromEntries(
    entries.filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1].length <= maxFieldLength,
    ),
  )
}

/** The fields of a body, which is a form or nothing that counts. */
export const formOf = (body: unknown): Fields =>
  body instanceof URLSearchParams ? fieldsOf(singleFields(body)) : {}

function singleFields(form: URLSearchParams): Record<string, unknown> {
  return Object.fromEntries(
    [...new Set(form.keys())].map((name) => [
      name,
      form.getAll(name).length === 1 ? form.get(name) : undefined,
    ]),
  )
}

/** Has a browser keep a value for the time of a login, or forget it. */
export function keep(reply: FastifyReply, name: string, value: string): FastifyReply {
  const seconds = value === '' ? 0 : flowSeconds
  return reply.header('set-cookie', `${name}=${value}; Max-Age=${seconds}; ${cookieRules}`)
}

/** A value that a browser keeps. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const pairs = (header ?? '').split(';').map((pair) => pair.trim())
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1)
}

/** A page for a person, where there is no program to send him back to. */
export const page = (reply: FastifyReply, code: number, text: string) =>
  reply.code(code).type('text/plain; charset=utf-8').send(`${text}\n`)

/** A value that nobody can guess. */
export const random = () => randomBytes(32).toString('base64url')

export function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
