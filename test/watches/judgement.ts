// What a watcher saw against what was written.

/** What of a history is needed. */
interface Truth {
  readonly written: readonly string[]
  readonly target: { readonly kind: string }
}

interface Change {
  readonly type: string
  readonly name: string
  readonly step?: string
  readonly version?: string
}

function parse(line: string): Change {
  const [type, name, step, version] = line.split(' ')
  return {
    type: type!,
    name: name!,
    ...(step !== undefined && { step }),
    ...(version !== undefined && { version }),
  }
}

/** Without what the server wrote itself: a state, after which the step is the same. */
function withoutStates(lines: readonly string[]): string[] {
  const steps = new Map<string, string | undefined>()
  return lines.flatMap((line) => {
    const { type, name, step } = parse(line)
    if (type === 'update' && steps.get(name) === step) return []
    steps.set(name, step)
    return type === 'delete' ? [line] : [`${type} ${name} ${step}`]
  })
}

/** Objects that were shown in a version that had been shown before, or an older one. */
function doubled(seen: readonly string[]): string[] {
  const versions = new Map<string, number>()
  return seen.flatMap((line) => {
    const { name, version } = parse(line)
    if (version === undefined) return []
    const before = versions.get(name) ?? 0
    versions.set(name, Number(version))
    return Number(version) > before ? [] : [`${line}: after version ${before}`]
  })
}

/** What is there after all of it: the step of each name. */
function remains(lines: readonly string[]): Map<string, string> {
  const steps = new Map<string, string>()
  for (const { type, name, step } of lines.map(parse)) {
    if (type === 'delete') steps.delete(name)
    else steps.set(name, step!)
  }
  return steps
}

function difference(expected: readonly string[], seen: readonly string[]): string[] {
  const at = expected.findIndex((line, index) => line !== seen[index])
  if (at < 0 && expected.length === seen.length) return []
  const from = at < 0 ? expected.length : at
  const shown = (lines: readonly string[]) => lines.slice(from, from + 3).join(', ') || 'nothing'
  return [`after ${from} changes was written: ${shown(expected)}; seen: ${shown(seen)}`]
}

/** Sentences about what somebody who never listed again has missed, or seen twice or in another order. */
export function judge({ target, written }: Truth, seen: readonly string[]): string[] {
  const plain = target.kind === 'Secret' ? (lines: readonly string[]) => lines : withoutStates
  return [...doubled(seen), ...difference(plain(written), plain(seen))]
}

/** The same of one who did, and so cannot know what came and went in between: he has to know what there is. */
export function judgeOutcome({ written }: Truth, seen: readonly string[]): string[] {
  const sorted = (lines: readonly string[]) => [...remains(lines)].map((entry) => entry.join(' ')).sort()
  return [...doubled(seen), ...difference(sorted(written), sorted(seen))]
}
