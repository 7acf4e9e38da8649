// What Flux does with a set of manifests: it applies, finds drift, waits and collects. By hand: npm run test:peers;
// needs Go. About a minute after the build.
import { test } from 'node:test'
import { runCommand } from '../rgw/command.ts'
import { openControlPlane } from '../watches/control-plane.ts'
import { buildGitops } from './programs.ts'
import { report } from './report.ts'

test("Flux's library", async (t) => {
  const program = await buildGitops()
  await using plane = await openControlPlane()
  await report(t, await runCommand([program], { env: { ...process.env, KUBECONFIG: plane.kubeconfig } }))
})
