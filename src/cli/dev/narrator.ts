import type { Terminal } from '#cli/output'

/** Tells a story with evidence, and keeps count of which expectations held. */
export interface Narrator {
  /** Opens the next numbered step. */
  step(title: string): void
  /** One line of evidence under the step. */
  show(text: string): void
  /** The command as a user would type it, then what it printed. */
  showCommand(command: string, output: string): void
  /** Records an expectation with the evidence for it; the story goes on when it failed. */
  expect(held: boolean, expectation: string): void
  readonly failures: readonly string[]
}

export function openNarrator({ print }: Pick<Terminal, 'print'>): Narrator {
  const failures: string[] = []
  let number = 0
  const indented = (text: string, indent: string) => text.trimEnd().replaceAll(/^/gm, indent)
  return {
    failures,
    step(title) {
      number += 1
      print(`\n${number}. ${title}`)
    },
    show: (text) => print(indented(text, '   ')),
    showCommand: (command, output) => print(`   $ ${command}\n${indented(output, '     ')}`),
    expect(held, expectation) {
      print(`   ${held ? 'ok' : 'FAILED'}: ${expectation}`)
      if (!held) failures.push(expectation)
    },
  }
}
