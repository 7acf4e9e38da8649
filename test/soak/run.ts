/**
 * Soak: the whole product under mixed traffic while its parts, the processes that it serves and the cloud are killed
 * at random: `npm run soak -- --minutes 60 --processes 200 --requests 50 --seed 1`. Needs root. Exits 1 with what must not have
 * been, and says where the logs are.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '#base/clock'
import { soak } from './soak.ts'

function refuse(why: string): never {
  console.error(
    `${why}\nusage: npm run soak -- [--minutes N] [--processes N] [--requests PER-SECOND] [--seed N]`,
  )
  process.exit(2)
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '60' },
        processes: { type: 'string', default: '200' },
        requests: { type: 'string', default: '50' },
        seed: { type: 'string' },
      },
    })
    return values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

const values = options()
const minutes = Number(values.minutes)
const processes = Number(values.processes)
const requestsPerSecond = Number(values.requests)
const seed = Number(values.seed ?? systemClock.now() % 2 ** 32)
const isCount = Number.isInteger(processes) && processes > 0
if (!(minutes > 0) || !isCount || !(requestsPerSecond > 0) || !Number.isInteger(seed)) {
  refuse('minutes and requests are above 0, processes a whole number above 0, seed a whole number')
}
console.log(
  `${minutes} minutes, ${processes} processes, ${requestsPerSecond} requests a second and bursts, seed ${seed}`,
)
process.exitCode = (await soak({ minutes, processes, requestsPerSecond, seed })) ? 0 : 1
