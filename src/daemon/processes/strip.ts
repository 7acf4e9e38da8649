// A program: prints all modules of the daemon, however it is started, and of its children, without their types.
import { javascriptOf } from './javascript.ts'

const entries = [
  '../../../bin/tideway.ts',
  '../../../bin/tidewayd.ts',
  '../../cli/commands/index.ts',
  '../program/index.ts',
  '../program/worker.ts',
  '../attestation/attestor-child.ts',
]
const found = entries.flatMap((path) => [...javascriptOf(new URL(path, import.meta.url))])
process.stdout.write(JSON.stringify([...new Map(found)]))
