/**
 * Files that are whole or not there: what Node's own file functions do not promise. It knows no paths.
 */
export { readIfPresent, writeAtomically } from './files.ts'
