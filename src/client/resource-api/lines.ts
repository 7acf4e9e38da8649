import { Fault } from '#base/errors'

// Longer than any object the server accepts.
const maxLineLength = 4 * 1024 * 1024

/**
 * The values of a stream of JSON lines; empty lines are skipped. Leaving the loop cancels the stream.
 * @throws Fault WIRE_MALFORMED, WIRE_TOO_LARGE
 */
export async function* readLines(body: ReadableStream<Uint8Array>): AsyncGenerator {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > maxLineLength) throw new Fault('WIRE_TOO_LARGE', 'a line of the answer is too long')
    for (const line of lines) if (line.trim() !== '') yield parseLine(line)
  }
  if (rest.trim() !== '') yield parseLine(rest)
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw new Fault('WIRE_MALFORMED', 'a line of the answer is not JSON', { cause: error })
  }
}
