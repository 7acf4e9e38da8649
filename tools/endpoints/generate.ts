// Writes src/model/signing/endpoint-table.ts: `npm run endpoints -- FOLDER`. See README.md beside this file.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { readPartitions, readServices } from './rule-sets.ts'
import { buildTable } from './table.ts'

const committed = path.resolve(import.meta.dirname, '../../src/model/signing/endpoint-table.ts')

function versionOf(data: string): string {
  const found = /__version__ = ['"]([^'"]+)/.exec(readFileSync(path.join(data, '../__init__.py'), 'utf8'))
  if (!found) throw new Error(`no version beside ${data}: not the data folder of botocore`)
  return found[1]!
}

const [data, target = committed] = process.argv.slice(2)
if (data === undefined)
  throw new Error('usage: npm run endpoints -- FOLDER [FILE]; FOLDER: the data of botocore')
const { table, left } = buildTable(readPartitions(data), readServices(data))

const entries = (map: ReadonlyMap<string, string>) =>
  [...map]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `  ['${name}', '${value}'],\n`)
    .join('')

writeFileSync(
  target,
  `// Made by \`npm run endpoints\` from the data of botocore ${versionOf(data)} (the Python package of that name,
// Apache License 2.0). Not to be edited: tools/endpoints/README.md.

/** Suffixes of endpoints, with the region that names without one are signed for. */
export const suffixes: ReadonlyMap<string, string> = new Map([
${entries(table.suffixes)}])

/** Signing names that differ from the label beside the region; without \`-fips\`, \`fips\` and \`dualstack\`. */
export const signingNames: ReadonlyMap<string, string> = new Map([
${entries(table.signingNames)}])

/** Labels under which two services answer, each with its signing name: the host does not tell. */
export const ambiguousNames: ReadonlyMap<string, string> = new Map([
${entries(table.ambiguousNames)}])

/** Hosts without a region that are signed for another region than their suffix says. */
export const hostRegions: ReadonlyMap<string, string> = new Map([
${entries(table.hostRegions)}])

/** Labels whose hosts name a region and are signed for another. */
export const fixedRegions: ReadonlyMap<string, string> = new Map([
${entries(table.fixedRegions)}])

/** Hosts without a region that take SigV4A alone, for these regions. */
export const regionSets: ReadonlyMap<string, string> = new Map([
${entries(table.regionSets)}])

/** What stands behind the region where that comes first and alone: a label before a suffix, or a whole domain. */
export const regionFirst: ReadonlyMap<string, string> = new Map([
${entries(table.regionFirst)}])
`,
)
const leftOut = new Set(left.map(({ service, url, reason }) => `${service}: ${url}: ${reason}`))
for (const line of leftOut) console.log(line)
console.log(
  `${table.signingNames.size} signing names, ${leftOut.size} hosts left out: ${path.relative('.', target)}`,
)
