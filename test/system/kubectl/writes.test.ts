import { debianKubectl } from './kubectl.ts'
import { testWrites } from './writes.ts'

testWrites('kubectl 1.20', debianKubectl)
