import type { RequestEnd, RequestStart } from './audit.ts'

/** What the start records of many requests have in common: who sent them, where to, and what covers them. */
export type Circumstances = Omit<
  RequestStart,
  'type' | 'id' | 'at' | 'method' | 'path' | 'decision' | 'reason'
>

type Varying = Pick<RequestStart, 'id' | 'at' | 'method' | 'path' | 'decision'> & {
  readonly reason: string | undefined
}

/** The part of a start record that `formatStart` takes: made once, as there is a record for every request. */
export function formatCircumstances(circumstances: Circumstances): string {
  return JSON.stringify(circumstances).slice(1, -1)
}

/** A start record as one line of JSON, with its line feed. */
export function formatStart(
  { id, at, method, path, decision, reason }: Varying,
  circumstances: string,
): string {
  const why = reason === undefined ? '' : `,"reason":${quoted(reason)}`
  return `{"type":"request.start","id":${quoted(id)},"at":${quoted(at)},${circumstances},"method":${quoted(method)},"path":${quoted(path)},"decision":${quoted(decision)}${why}}\n`
}

/** An end record as one line of JSON, with its line feed. */
export function formatEnd({
  id,
  at,
  status,
  requestBytes,
  responseBytes,
  durationMs,
  reason,
}: Omit<RequestEnd, 'type' | 'node' | 'reason'> & { readonly reason: string | undefined }): string {
  const why = reason === undefined ? '' : `,"reason":${quoted(reason)}`
  return `{"type":"request.end","id":${quoted(id)},"at":${quoted(at)},"status":${status},"requestBytes":${requestBytes},"responseBytes":${responseBytes},"durationMs":${durationMs.toFixed(3)}${why}}\n`
}

// SECURITY: whatever else a client sends goes through JSON.stringify, so that no path can write a field of its own.
const plain = /^[ !#-[\]-~]*$/

function quoted(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text)
}
