// The Python client of Debian watches while the server is killed, stopped and started again. client-go and newer
// releases do so in test/peers.
import { test } from 'node:test'
import { openControlPlane } from '../watches/control-plane.ts'
import { openHistory, secretsIn } from '../watches/history.ts'
import { judgeThroughEnds, pythonWatcher, startWatcher } from '../watches/watchers.ts'

test('a loop of the Python client misses nothing and sees nothing twice through kills and restarts', async (t) => {
  await using plane = await openControlPlane()
  const namespace = 'restarted'
  const secrets = openHistory(plane.call, secretsIn(namespace))
  const python = '/usr/bin/python3'
  await using watcher = await startWatcher(
    plane,
    pythonWatcher({ python, plane }, { mode: 'watch', namespace, secrets }),
  )
  const ends = ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const
  await judgeThroughEnds(
    t,
    { plane, histories: [secrets], watchers: [watcher] },
    { ends, patienceSeconds: 120 },
  )
})
