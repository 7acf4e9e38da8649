/**
 * Files that are whole or not there, and folders of the mode that is asked for: what Node's own file functions do
 * not promise. It knows no paths.
 */
export { readIfPresent, readNamedFile, writeAtomically } from './files.ts'
export { makeFolder, makeNamedFolder } from './folders.ts'
