/** A text that is not empty. @throws TypeError */
export function text(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new TypeError('a text is expected')
  return value
}

/** A parser of one of a few words, which throws `TypeError` for any other. */
export function oneOf<const T extends string>(...allowed: readonly T[]): (value: unknown) => T {
  return (value) => {
    const found = allowed.find((one) => one === value)
    if (found === undefined) throw new TypeError(`one of ${allowed.join(', ')} is expected`)
    return found
  }
}

/** Whether `host`, as a setting names it, is this machine and nobody else's. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
