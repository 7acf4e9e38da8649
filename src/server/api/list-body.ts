import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Resource } from '#model/resource'
import type { ListMeta, Representation } from './table.ts'

/** Objects that are encoded in one go: some milliseconds of work, after which others have their turn. */
export const encodedAtOnce = 250

/** A list as JSON in parts, which together are the bytes that `JSON.stringify` makes of the whole. */
export async function* listBody(
  form: Representation,
  objects: readonly Resource[],
  metadata: ListMeta,
): AsyncGenerator<string> {
  const closing = ']}'
  let text = JSON.stringify(form.list([], metadata)).slice(0, -closing.length)
  for (const [index, object] of objects.entries()) {
    if (index > 0) text += ','
    text += JSON.stringify(form.item(object))
    if ((index + 1) % encodedAtOnce > 0) continue
    yield text
    text = ''
    await nextTurn()
  }
  yield text + closing
}
