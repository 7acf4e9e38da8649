import { debianKubectl } from './kubectl.ts'
import { testReads } from './reads.ts'

testReads('kubectl 1.20', debianKubectl)
