import process from 'node:process'
import { systemClock } from '#base/clock'
import { returnFreedMemory } from '#base/lifecycle'
import { hardenProcess, openPeer, type Answers, type Protocol } from '#daemon/processes'
import type { AttestorProtocol } from './attestor-process.ts'
import { openProcessReader } from './process-reader.ts'

// The attestor process: answers its parent until that goes.
hardenProcess()
process.on('SIGINT', () => {}) // the terminal tells the whole group: the parent decides when we end
process.on('disconnect', () => process.exit(0))
void returnFreedMemory(systemClock)
const reader = openProcessReader()
const answers: Answers<AttestorProtocol> = {
  attest: ({ pid, startTicks }) => reader.attest(pid, startTicks),
  findOwner: (connection) => reader.findOwner(connection),
  startOf: (pid) => reader.startOf(pid),
  locate: (paths) => reader.locate(paths),
  collect: ({ keys, paths }) => reader.collect(keys, paths),
}
openPeer<Protocol, AttestorProtocol>({
  endpoint: process,
  answers,
  clock: systemClock,
  timeoutMs: 1_000,
})
