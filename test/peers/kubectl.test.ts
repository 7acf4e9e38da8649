// The newest kubectl, built from its module, reads and writes as Debian's does, and does what is new since. By hand:
// npm run test:peers; needs Go, and some minutes for the build ($TIDEWAY_PEERS keeps it). Three minutes after that.
import { testReads } from '../system/kubectl/reads.ts'
import { testWrites } from '../system/kubectl/writes.ts'
import { testNews } from './kubectl-news.ts'
import { buildKubectl } from './programs.ts'

let built: Promise<string> | undefined
const build = () => (built ??= buildKubectl())

testReads('the newest kubectl', build)
testWrites('the newest kubectl', build)
testNews('the newest kubectl', build)
