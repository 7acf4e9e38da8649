import { Fault } from '#base/errors'
import { exitCodeOf, renderFault } from './fault.ts'

/** Where a command writes: `print` is data (standard output), `say` is talk (standard error). */
export interface Terminal {
  readonly print: (text: string) => void
  readonly say: (text: string) => void
}

// A reader that goes away (`| head`) ends the program quietly, as shell users expect.
function endIfUnread(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
}

export function openTerminal(): Terminal {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    endIfUnread(error)
    const fault = new Fault('SETTING_INVALID', `standard output cannot be written: ${error.message}`, {
      hint: 'make room where it goes, or send it elsewhere',
      cause: error,
    })
    process.stderr.write(`${renderFault(fault)}\n`)
    process.exit(exitCodeOf(fault))
  })
  process.stderr.on('error', (error) => {
    endIfUnread(error)
    process.exit(1) // there is nowhere to say why
  })
  return {
    print: (text) => void process.stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    say: (text) => void process.stderr.write(text.endsWith('\n') ? text : `${text}\n`),
  }
}
