/** The head of one HTTP request as it came over the wire. */
export interface WireRequest {
  readonly method: string
  /** Request target in origin form: path, and the query after the first `?`. */
  readonly target: string
  /** Lower-case names in order of arrival, duplicates kept; HTTP/2's `:authority` is given as `host` too. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** The values of `name` joined by commas as SigV4 joins them, or undefined when the header is absent. */
export function headerValue(request: WireRequest, name: string): string | undefined {
  const values = request.headers.filter(([each]) => each === name).map(([, value]) => value.trim())
  return values.length === 0 ? undefined : values.join(',')
}

/** Path and query of the target, both still encoded. */
export function splitTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf('?')
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) }
}

/**
 * Decodes a query into name and values; `+` stays a plus, as AWS reads it.
 * @throws URIError when a percent sign starts no valid escape
 */
export function parseQuery(query: string): Map<string, string[]> {
  const bag = new Map<string, string[]>()
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const [name = '', ...rest] = pair.split('=')
    const key = decodeURIComponent(name)
    const values = bag.get(key) ?? []
    values.push(decodeURIComponent(rest.join('=')))
    bag.set(key, values)
  }
  return bag
}
