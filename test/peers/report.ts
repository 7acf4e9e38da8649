import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Result } from '../rgw/command.ts'

/** What fails for a reason that is not ours. */
export interface Limit {
  readonly client: RegExp
  readonly what: string
  readonly reason: string
}

/**
 * Makes a test of each line that a client printed: `ok WHAT`, or `not ok WHAT: WHY`, and one of its end: who crashes
 * has not done what it did not come to. Failures at `limits` are skipped.
 */
export async function report(
  t: TestContext,
  { code, stdout, stderr }: Result,
  limits: readonly Limit[] = [],
): Promise<void> {
  const lines = stdout.split('\n').filter((line) => /^(?:not )?ok /.test(line))
  assert.ok(lines.length > 0, `the client did nothing: ${(stdout || stderr).slice(-2000)}`)
  for (const line of lines) {
    const [, not, what = '', why] = /^(not )?ok ([^:]*)(?:: (.*))?$/.exec(line) ?? []
    const limit = not && limits.find((one) => one.what === what && one.client.test(t.name))
    const skip = limit ? limit.reason : false
    await t.test(what, { skip }, () => assert.ok(not === undefined, why ?? line))
  }
  await t.test('comes to its end', () => assert.equal(code, 0, stderr.slice(-2000)))
}
