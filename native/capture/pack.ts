// Turns what clang and bpftool made of capture.bpf.c into data that the daemon loads without either:
//   node pack.ts LIGHT-SKELETON.h BTF.json SOURCE... > capture.bpf.json
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

interface BtfType {
  readonly id: number
  readonly kind: string
  readonly name: string
  readonly size?: number
  readonly type_id?: number
  readonly members?: readonly { name: string; type_id: number; bits_offset: number }[]
  readonly values?: readonly { name: string; val: number }[]
}

const shared = new Set([
  'process_pin',
  'verdict',
  'config',
  'ports',
  'listener',
  'candidate',
  'destination',
  'peer',
  'record',
])

const [skeletonPath, btfPath, ...sourcePaths] = process.argv.slice(2)
const skeleton = readFileSync(skeletonPath!, 'utf8')
const { types } = JSON.parse(readFileSync(btfPath!, 'utf8')) as { types: BtfType[] }

/** The bytes of `opts.NAME`, a C string of hexadecimal escapes, checked against its stated size. */
function blob(name: string): Buffer {
  const text = new RegExp(`opts\\.${name} = \\(void \\*\\)"\\\\\\n([\\s\\S]*?)";`).exec(skeleton)?.[1]
  const size = new RegExp(`opts\\.${name}_sz = (\\d+)`).exec(skeleton)?.[1]
  const hex = text?.replace(/\\\n/g, '').replace(/\\x(..)|\\0/g, (_, byte?: string) => byte ?? '00')
  const bytes = Buffer.from(hex?.replace(/\s/g, '') ?? '', 'hex')
  if (bytes.length === 0 || bytes.length !== Number(size)) throw new Error(`the skeleton's ${name} is malformed`)
  return bytes
}

/** Names of the descriptors in `struct { ... } SECTION;`, in the order in which the loader fills them. */
function names(section: string): string[] {
  const body = new RegExp(`struct \\{([^}]*)\\} ${section};`).exec(skeleton)?.[1] ?? ''
  return Array.from(body.matchAll(/ (\w+);/g), (match) => match[1]!)
}

/** Size and offsets, in bytes, of the structures that user space shares. */
function structures() {
  const found = types.filter(({ kind, name }) => kind === 'STRUCT' && shared.has(name))
  return found.map(({ name, size, members = [] }) => {
    const offsets = Object.fromEntries(members.map((member) => [member.name, member.bits_offset / 8]))
    return [name, { size, offsets }] as const
  })
}

/** The members of an enumeration, in order; the last of `counter` is their number and not among them. */
function enumeration(name: string): string[] | undefined {
  const values = types.find((type) => type.kind === 'ENUM' && type.name === name)?.values
  return values?.map((value) => value.name).filter((value) => value !== 'COUNTERS')
}

const sources = createHash('sha256')
for (const path of sourcePaths) sources.update(readFileSync(path))

const packed = {
  sources: sources.digest('hex'),
  maps: names('maps'),
  programs: names('progs'),
  structures: Object.fromEntries(structures()),
  counters: enumeration('counter'),
  candidateKinds: enumeration('candidate_kind'),
  data: blob('data').toString('base64'),
  instructions: blob('insns').toString('base64'),
}
process.stdout.write(`${JSON.stringify(packed, null, 1)}\n`)
