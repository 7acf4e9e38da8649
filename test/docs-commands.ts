// Finds the commands of ours that a text tells its reader to type.

export interface ShellCommand {
  readonly file: string
  readonly text: string
  /** What follows `tideway`, as a shell would split it. */
  readonly args: readonly string[]
}

const word = /\$\([^)]*\)|[^\s'"|;&<>()`]+|'[^']*'|"(?:[^"\\]|\\.)*"/y
const start = /(?:[\s(`]|\/bin\/)(?:tideway|riptides-cli) (?![./])/g

/** Splits as far as the first operator of the shell, comment or the end. */
function split(text: string): string[] {
  const args: string[] = []
  let at = 0
  while (at < text.length) {
    if (text[at] === ' ') at += 1
    else if (text[at] === '#') break
    else {
      let value = ''
      const from = at
      for (word.lastIndex = at; at < text.length; at = word.lastIndex) {
        const [part] = word.exec(text) ?? []
        if (part === undefined) break
        value += /^['"]/.test(part) ? part.slice(1, -1) : part
      }
      if (at === from) break
      args.push(value)
      word.lastIndex = at
    }
  }
  return args
}

/** Code of a page: fenced blocks line by line (continued lines as one), and what stands between backticks. */
function codeOf(text: string, file: string): string[] {
  if (!file.endsWith('.md') && file !== '') {
    const quoted = [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)
    return [...quoted, ...[...text.matchAll(/^ExecStart=(.*)$/gm)].map(([, code]) => code!)]
  }
  const blocks = [...text.matchAll(/^ *```sh\n([^]*?)^ *```/gm)].flatMap(([, block]) =>
    block!.replaceAll(/\\\n\s*/g, '').split('\n'),
  )
  const prose = text.replaceAll(/^ *```[^]*?^ *```/gm, '')
  return [...blocks, ...[...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)]
}

/** Every command line of ours in a page, a commented example or a unit. */
export function commandsIn(text: string, { file }: { file: string }): ShellCommand[] {
  return codeOf(text, file).flatMap((code) =>
    [...` ${code}`.matchAll(start)].map((match) => {
      const command = ` ${code}`.slice(match.index + match[0].length)
      return { file, text: code, args: split(command) }
    }),
  )
}
