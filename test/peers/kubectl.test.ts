// The newest kubectl, built from its module, reads as Debian's does. By hand: npm run test:peers; needs Go, and some
// minutes for the build ($TIDEWAY_PEERS keeps it).
import { buildKubectl } from './programs.ts'
import { testReads } from '../system/kubectl/reads.ts'

testReads('the newest kubectl', buildKubectl)
