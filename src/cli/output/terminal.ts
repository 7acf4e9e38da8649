/** Where a command writes: `print` is data (standard output), `say` is talk (standard error). */
export interface Terminal {
  readonly print: (text: string) => void
  readonly say: (text: string) => void
}

export function openTerminal(): Terminal {
  // A reader that goes away (`| head`) ends the program quietly, as shell users expect.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  return {
    print: (text) => void process.stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    say: (text) => void process.stderr.write(text.endsWith('\n') ? text : `${text}\n`),
  }
}
