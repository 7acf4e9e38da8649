// Writes docs/resources.md and docs/metrics.md from what the program knows: `npm run docs`.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { metricCatalogue } from '#base/metrics'
import { kinds, reasons, reportedTypes, type Kind, type KindDefinition } from '#model/resource'

/** As much of JSON Schema as our schemas use. */
interface Schema {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly enum?: readonly string[]
  readonly const?: string
  readonly format?: string
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly writeOnly?: boolean
}

interface Row {
  readonly path: string
  readonly type: string
  readonly required: boolean
  readonly description: string
}

function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return `\`${schema.const}\``
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(' or ')
  if (schema.type === 'array') return `list of ${schema.items ? typeOf(schema.items) : 'any'}`
  if (schema.format === 'date-time') return 'time (RFC 3339)'
  if (schema.type === 'object' || schema.patternProperties) return schema.properties ? 'object' : 'map'
  return schema.type ?? 'any'
}

function rowsOf(prefix: string, { properties = {}, required = [] }: Schema): Row[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const at = `${prefix}${name}`
    const inner = schema.items?.properties ? rowsOf(`${at}[].`, schema.items) : rowsOf(`${at}.`, schema)
    const secret = schema.writeOnly ? ' Write-only.' : ''
    const row = {
      path: at,
      type: typeOf(schema),
      required: required.includes(name),
      description: `${(schema.description ?? '').replaceAll(/[<*]/g, '\\$&')}${secret}`,
    }
    return [row, ...inner]
  })
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heads, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = heads.map((_, column) => Math.max(3, ...cells.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(cells[0]!), line(widths.map((width) => '-'.repeat(width))), ...cells.slice(1).map(line)].join(
    '\n',
  )
}

function fields(rows: readonly Row[]): string {
  return table(
    ['field', 'type', 'required', 'meaning'],
    rows.map((row) => [`\`${row.path}\``, row.type, row.required ? 'yes' : '', row.description]),
  )
}

const shared = ['apiVersion', 'kind', 'metadata']
const sharedStatus = ['state', 'message', 'updateAt', 'observedGeneration', 'conditions']

function without(schema: Schema | undefined, names: readonly string[]): Schema {
  const kept = Object.entries(schema?.properties ?? {}).filter(([name]) => !names.includes(name))
  return { properties: Object.fromEntries(kept), required: schema?.required ?? [] }
}

function kindSection({ kind, apiVersion, singular, plural, ...rest }: KindDefinition<Kind>): string {
  const schema = rest.schema as Schema
  const names = [singular, plural, ...rest.aliases, ...rest.shortNames]
    .map((name) => `\`${name}\``)
    .join(', ')
  const states = schema.properties?.['status']?.properties?.['state']
  const own = rowsOf('status.', without(schema.properties?.['status'], sharedStatus))
  return [
    `## ${kind}`,
    `${rest.description} \`${apiVersion}\`; in commands ${names}.`,
    fields(rowsOf('', without(schema, [...shared, 'status']))),
    states && `States: ${typeOf(states)}.${own.length > 0 ? ' Of its own, the status has:' : ''}`,
    own.length > 0 && fields(own),
  ]
    .filter(Boolean)
    .join('\n\n')
}

const selectors = `## Selectors

\`spec.selectors\` of a WorkloadIdentity is a list of maps. The keys of one map must all match; of several maps any one may. A list as value means any of its values; numbers stand for their digits. \`process:cmdline\` matches as a prefix, everything else exactly.

${table(
  ['key', 'what it is', 'strong'],
  [
    ['`process:name`', 'the name of the process (`comm`), which it chooses itself', 'no'],
    [
      '`process:binary:path`',
      'the path of the executable, as the host sees it: device and inode are compared',
      'yes',
    ],
    ['`process:binary:hash`', '`sha256:` and the hash of the executable in hexadecimal', 'yes'],
    ['`process:cmdline`', 'the arguments joined by spaces; a prefix is enough', 'no'],
    [
      '`process:uid`, `process:gid`',
      'user and group, where real, effective and saved one are the same',
      'yes',
    ],
    ['`process:env:NAME`', 'a variable of its environment', 'no'],
    [
      '`process:ancestor:name` (`binary:path`, `binary:hash`, `cmdline`, `uid`, `gid`)',
      'the same of any ancestor',
      'as above',
    ],
    ['`destination:port`', 'the port to which it connects', 'yes'],
    ['`systemd:unit`', 'the unit that started it', 'yes'],
    [
      '`process:cgroup`',
      'path of its cgroup below the mount of the hierarchy, or the id of that cgroup',
      'yes',
    ],
    [
      '`docker:*`, `k8s:*`, node metadata',
      'accepted, with the condition `Unsupported`: nothing collects them yet',
      '',
    ],
  ],
)}

An executable that is replaced on disk, by an upgrade for one, is another file: what still runs the old one has no path any more, and is to be started again.

When several identities match, one wins only if the strong keys that it matched are a strict superset of those of every other; otherwise none applies, and \`tideway attest PID\` says why. An identity without \`process:uid\`, \`process:cgroup\`, \`systemd:unit\` or a container says what runs, not who runs it: it carries the condition \`AssumableByAnyLocalUser\`. One that rests on \`process:cmdline\` or \`process:env:*\` alone cannot be filtered by the kernel and needs \`captureAll\`.

Selectors under \`propagation.injection\` and \`egress\` have the same form, and match labels of Services.`

const states = `## States

\`status.state\` is one word, \`status.message\` why and what to do next; conditions have a reason each. That of \`Ready\`, and of events, is the reason of the condition that decides; where none does, \`Ready\`, or the state. Every kind with a state has the condition \`Ready\`, and \`Stalled\` where nothing changes unless somebody acts. An object that was just made is PENDING, and one whose \`status.observedGeneration\` is not its \`metadata.generation\` has not been looked at since it changed: \`tideway ctl wait\`, \`kubectl wait --for=condition=Ready\` and tools that judge by kstatus wait for both.

States follow their cause within a second, but for these:

${table(
  ['cause', 'how soon it shows'],
  [
    [
      'a daemon hangs, or its node is cut off, without closing its connection',
      'three seconds up to 500 daemons, five at 1,000; one that closes it: at once',
    ],
    [
      '`LAST SEEN` of a daemon that is there',
      'ten seconds up to 83 daemons, two minutes at 1,000; of one that is gone it is exact',
    ],
    [
      'the issuer’s documents or an endpoint of STS are away',
      'at once when an exchange meets with it, otherwise a minute; what swallows packets five seconds later',
    ],
    ['they are back', 'five seconds; exchanges that waited for it follow at once'],
    [
      'a cloud that refused would not any more: a trust policy, a role, a provider was mended there',
      'the next try, a minute later at most (two where the request itself was refused); `tideway ctl rotate credentialbinding/NAME` tries now',
    ],
    [
      'a Service has another certificate, or cannot be reached',
      'at once when a request opens a connection to it; what swallows packets once its addresses have been tried, ten seconds each',
    ],
    [
      'an OpenID provider is away, or back',
      'at once when the server that leads needs it for a token, otherwise a minute; back: five seconds. Its keys are remembered for ten minutes',
    ],
    ['the server that leads has died, of several', 'four seconds, until another leads'],
    ['on a node an executable or cgroup that selectors name comes, goes or is another', 'five seconds'],
    ['the attestor of a daemon hangs', 'ten seconds'],
  ],
)}

### Reasons

${table(
  ['reason', 'what it means', 'it needs'],
  Object.entries(reasons).map(([reason, { meaning, needs }]) => [
    `\`${reason}\``,
    meaning,
    needs === 'nothing' ? '' : needs,
  ]),
)}

Where action is needed the message names it. What daemons find out is shown by conditions on the object that it is about, and on the Daemon itself:

${table(
  ['condition', 'what it means'],
  Object.entries(reportedTypes).map(([type, { meaning }]) => [`\`${type}\``, meaning]),
)}`

export function resourcesPage(): string {
  const [{ schema } = { schema: {} }] = kinds
  const { properties = {} } = schema as Schema
  const status = properties['status']?.properties ?? {}
  const conditions = Object.fromEntries(sharedStatus.map((name) => [name, status[name]!]))
  return `# Resources

Written by \`npm run docs\` from the program's schemas; a test compares. The API keeps the conventions of Kubernetes; unknown fields are refused with their path; a field that is accepted but not acted on yet sets the condition \`Unsupported\`, and the object never reads OK. Objects live in the namespace \`riptides-system\` unless \`metadata.namespace\` says otherwise. \`tideway ctl kinds\` lists the kinds. Groups and kinds are those of the public guides, kept for compatibility; extensions say so.

${kinds.map(kindSection).join('\n\n')}

${selectors}

${states}

## What every object has

${fields(rowsOf('metadata.', properties['metadata'] ?? {}))}

## What every status has

The values of \`state\` are those of each kind.

${fields(rowsOf('status.', { properties: conditions }).filter(({ path }) => path !== 'status.state'))}
`
}

export function metricsPage(): string {
  const rows = Object.entries(metricCatalogue).map(([name, { kind, labels, help }]) => [
    `\`tideway_${name}${kind === 'counter' ? '_total' : ''}\``,
    kind,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ])
  return `# Metrics

Written by \`npm run docs\` from the program's catalogue; a test compares. The control plane serves them in the Prometheus text format at \`/metrics\` of its health port (127.0.0.1:8080 unless \`--health-listen\` says otherwise), without authentication: labels are names of objects and words of small closed sets, never anything of a request.

${table(['metric', 'kind', 'labels', 'meaning'], rows)}

A histogram has \`_bucket\`, \`_sum\` and \`_count\`; times are in seconds. Daemons show no metrics of their own yet: \`tideway ctl get daemons\`, \`tideway capture status\` and the audit trail say how they are.
`
}

if (import.meta.main) {
  writeFileSync(path.join(import.meta.dirname, 'resources.md'), resourcesPage())
  writeFileSync(path.join(import.meta.dirname, 'metrics.md'), metricsPage())
}
