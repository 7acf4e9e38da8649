/** As many are told as in Kubernetes. */
const maxTold = 100
const maxPathLength = 256

/** An object or a list that is open at some place of the text. */
type Open =
  | { readonly kind: 'object'; readonly names: Set<string>; name: string }
  | { readonly kind: 'list'; index: number }

/** Where the text that begins at `start` ends: the place of its closing quote. */
function endOfText(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let escapes = 0
    while (json[end - 1 - escapes] === '\\') escapes += 1
    if (escapes % 2 === 0) return end
  }
}

function pathOf(open: readonly Open[]): string {
  const steps = open.map((one) => (one.kind === 'object' ? `.${one.name}` : `[${one.index}]`))
  return steps.join('').replace(/^\./, '').slice(0, maxPathLength)
}

/**
 * Paths of the fields that valid JSON has more than once in one object: parsers take the last of them and say
 * nothing (RFC 8259 section 4), so that who reads it and who acts on it may see two things.
 */
export function duplicateFields(json: string): readonly string[] {
  const found = new Set<string>()
  const open: Open[] = []
  let expectsName = false
  for (let at = 0; at < json.length && found.size < maxTold; at += 1) {
    const inner = open.at(-1)
    switch (json[at]) {
      case '{':
        open.push({ kind: 'object', names: new Set(), name: '' })
        expectsName = true
        break
      case '[':
        open.push({ kind: 'list', index: 0 })
        expectsName = false
        break
      case '}':
      case ']':
        open.pop()
        expectsName = false
        break
      case ',':
        expectsName = inner?.kind === 'object'
        if (inner?.kind === 'list') inner.index += 1
        break
      case '"': {
        const end = endOfText(json, at)
        if (expectsName && inner?.kind === 'object') {
          inner.name = JSON.parse(json.slice(at, end + 1)) as string
          if (inner.names.has(inner.name)) found.add(pathOf(open))
          inner.names.add(inner.name)
        }
        expectsName = false
        at = end
      }
    }
  }
  return [...found]
}
