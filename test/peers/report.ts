import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'

/** Makes a test of each line that a client printed: `ok WHAT`, or `not ok WHAT: WHY`. */
export async function report(t: TestContext, printed: string): Promise<void> {
  const lines = printed.split('\n').filter((line) => /^(?:not )?ok /.test(line))
  assert.ok(lines.length > 0, `the client did nothing: ${printed.slice(-2000)}`)
  for (const line of lines) {
    const [, not, what = '', why] = /^(not )?ok ([^:]*)(?:: (.*))?$/.exec(line) ?? []
    await t.test(what, () => assert.ok(not === undefined, why ?? line))
  }
}
