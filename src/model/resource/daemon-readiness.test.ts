import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Daemon } from './daemon.ts'
import { readinessOf, withReadiness } from './daemon-readiness.ts'
import { nextStatus } from './judged-status.ts'

const inSync = { type: 'InSync', status: 'True', reason: 'Acknowledged', message: 'its whole scope' } as const
const daemon = (status: Daemon['status']) =>
  ({ kind: 'Daemon', metadata: { generation: 2 }, status }) as Daemon

test('what a stream writes of its daemon is what the judge of all would, so that neither writes it again', () => {
  const first = { state: 'PENDING', message: 'joined', conditions: [readinessOf({}), inSync] } as const
  let status = nextStatus<'Daemon'>(daemon({}), first, 0)
  for (const state of ['OK', 'FAILED', 'FAILED', 'DISCONNECTED', 'OK'] as const) {
    const message = `it is ${state}`
    const written = withReadiness({ ...status, state, message, updateAt: status.updateAt! }, 60_000)
    const { conditions = [] } = written
    const ready = readinessOf({ state, message })
    assert.deepEqual(
      conditions.map(({ type, status }) => `${type}=${status}`),
      [
        `Ready=${state === 'OK' ? 'True' : 'False'}`,
        'InSync=True',
        ...(state === 'FAILED' ? ['Stalled=True'] : []),
      ],
    )
    const judged = nextStatus<'Daemon'>(
      daemon(written),
      { state, message, conditions: [ready, inSync] },
      90_000,
    )
    assert.deepEqual(judged, written)
    status = written
  }
})
