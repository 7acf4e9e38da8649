// Looks for secrets where they must not be, in every form in which somebody might have written them.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'

/** What base64 makes of `secret` wherever it stands in a longer text: the part that does not depend on the rest. */
function inBase64(secret: Buffer): string[] {
  return [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), secret])
      .toString('base64')
      .replace(/=+$/, '')
    const bytes = shift + secret.length
    const whole = text.slice(0, Math.floor((bytes * 8) / 6))
    return whole.slice(Math.ceil((shift * 8) / 6))
  })
}

function formsOf(secret: Buffer): Buffer[] {
  const base64 = inBase64(secret)
  const texts = [
    ...base64,
    ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    secret.toString('hex'),
    secret.toString('hex').toUpperCase(),
    encodeURIComponent(secret.toString('latin1')),
  ]
  return [secret, ...texts.map((text) => Buffer.from(text, 'latin1'))]
}

/** The content, and what it is without the ends of its lines, written out or not: those of PEM stand in between. */
function readingsOf(content: Buffer): Buffer[] {
  const joined = content.toString('latin1').replaceAll(/\r?\n|\\n/g, '')
  return [content, Buffer.from(joined, 'latin1')]
}

/** A secret, and the one place where it may be. */
export interface Sought {
  readonly name: string
  readonly bytes: Buffer
  readonly allowedIn?: string
}

/** Finds which of the secrets are in which of the places: sentences, none if all is well. */
export function findSecrets(
  secrets: readonly Sought[],
  places: Iterable<readonly [name: string, content: Buffer]>,
): string[] {
  const sought = secrets.map((secret) => ({ ...secret, forms: formsOf(secret.bytes) }))
  return [...places].flatMap(([place, content]) => {
    const readings = readingsOf(content)
    const isIn = (form: Buffer) => readings.some((reading) => reading.includes(form))
    return sought
      .filter(({ allowedIn, forms }) => allowedIn !== place && forms.some(isIn))
      .map(({ name }) => `${name} in ${place}`)
  })
}

/** Every regular file below `folder`. */
export function* filesBelow(folder: string): Generator<[string, Buffer]> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory() && !entry.name.endsWith('-bpf')) yield* filesBelow(file) // pins cannot be read
    else if (entry.isFile()) yield [file, readFileSync(file)]
  }
}

/** Processes in a cgroup and all below. */
export function processesBelow(cgroup: string): number[] {
  const own = readFileSync(path.join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
  const below = readdirSync(cgroup).filter((name) => statSync(path.join(cgroup, name)).isDirectory())
  return [...own, ...below.flatMap((name) => processesBelow(path.join(cgroup, name)))]
}
