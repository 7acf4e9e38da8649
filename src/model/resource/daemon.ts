import { Type, type Static } from 'typebox'
import {
  ageColumn,
  authGroup,
  coreGroup,
  defineKind,
  messageColumn,
  stateColumn,
  type ObjectOf,
} from './kind.ts'
import { choice, closed, dateTime, list, open, stringMap, text } from './schema.ts'
import { at, required, type FieldError } from './field-error.ts'
import { statusOf } from './status.ts'
import { checkExactlyOne, checkWorkloadId } from './workload-identity.ts'

const statusText = (description: string) => Type.String({ description })

const daemonGroups = list(
  text('A group, such as riptides/daemongroup/production/workers.'),
  'Groups that the daemon belongs to. An extension of Tideway.',
)

/** Groups have names like workloads. */
const checkDaemonGroups = ({ daemonGroups: groups = [] }: { daemonGroups?: string[] }): FieldError[] =>
  groups.flatMap((group, index) => checkWorkloadId(at('spec.daemonGroups', index), group))

const daemonSpec = closed(
  {
    workloadID: text('Path of the SPIFFE ID of the daemon, such as riptides/daemon/<uuid>.'),
    claimerType: choice(
      ['AWSIID', 'GCPIIT', 'JoinToken', 'X509CertPOP', 'SSHCertPOP', 'K8sSAT', 'JWT', 'GitHubActions'],
      'How the daemon proved itself.',
    ),
    daemonGroups: Type.Optional(daemonGroups),
  },
  'A daemon that has joined.',
)

const daemonStatus = statusOf(['PENDING', 'OK', 'FAILED', 'DISCONNECTED'], {
  health: Type.Optional(
    closed(
      {
        daemonHealth: Type.Optional(statusText('`ok`, or what is wrong.')),
        driverHealth: Type.Optional(statusText('Health of the capture: `ok`, or what is wrong.')),
        lastProbeAt: Type.Optional(dateTime('When health was last reported.')),
      },
      'Health as reported.',
    ),
  ),
  version: Type.Optional(statusText('Version of the program.')),
  captureLevel: Type.Optional(statusText('process, workload, user, or none.')),
  captureDetail: Type.Optional(statusText('What that guarantees on this machine.')),
  lastSeenAt: Type.Optional(dateTime('When the daemon was last heard of.')),
  metadata: Type.Optional(
    list(
      closed({ name: statusText('Name such as linuxos:name.'), value: statusText('Value.') }, 'A fact.'),
      'Facts about the node.',
    ),
  ),
})

export type DaemonSpec = Static<typeof daemonSpec>
export type Daemon = ObjectOf<'Daemon', DaemonSpec, Static<typeof daemonStatus>>

/** What to do where a daemon does not do as it should. */
export const seeItsLog = 'look at its log on its node (journalctl -u tideway-daemon)'
/** What to do about a daemon that is not there. */
export const lookAtDaemon = `${seeItsLog}, or delete this Daemon if the node is gone for good`

/** The health of a daemon that is not there: nobody knows. */
export function unknownHealth(
  before: NonNullable<Daemon['status']>['health'],
): Pick<NonNullable<Daemon['status']>, 'health'> {
  return { health: { ...before, daemonHealth: 'unknown', driverHealth: 'unknown' } }
}

export const daemon = defineKind({
  kind: 'Daemon',
  group: coreGroup,
  plural: 'daemons',
  description: 'A daemon that has joined; made by the server. Deleting it expels the daemon.',
  spec: daemonSpec,
  status: daemonStatus,
  columns: [
    {
      name: 'HOSTNAME',
      path: '.status.metadata[?(@.name=="node:hostname")].value',
      type: 'string',
      description: 'What its node calls itself.',
    },
    { name: 'WORKLOAD ID', path: '.spec.workloadID', type: 'string', description: 'Path of the SPIFFE ID.' },
    stateColumn,
    {
      name: 'HEALTH',
      path: '.status.health.daemonHealth',
      type: 'string',
      description: 'Health as reported.',
    },
    { name: 'CAPTURE', path: '.status.captureLevel', type: 'string', description: 'Capture level.' },
    { name: 'VERSION', path: '.status.version', type: 'string', description: 'Version of the program.' },
    { name: 'LAST SEEN', path: '.status.lastSeenAt', type: 'date', description: 'When last heard of.' },
    ageColumn,
    // Not only in the wide form: empty on every production node, it must not be overlooked on others.
    {
      name: 'CONNECT-TO',
      path: '.status.metadata[?(@.name=="dev:connect-to")].value',
      type: 'string',
      description: 'For development: hosts that this daemon dials elsewhere.',
    },
    {
      name: 'GROUPS',
      path: '.spec.daemonGroups[*]',
      type: 'string',
      description: 'Groups that it belongs to.',
      wide: true,
    },
    messageColumn,
  ],
  selectableFields: ['spec.workloadID', 'spec.claimerType', 'status.captureLevel', 'status.version'],
  check: (spec) => [...checkWorkloadId('spec.workloadID', spec.workloadID), ...checkDaemonGroups(spec)],
})

const methods = {
  joinToken: Type.Optional(closed({}, 'A JoinToken object proves the daemon.')),
  AWSIID: Type.Optional(open('EC2 instance identity document. Accepted, not acted on yet.')),
  GCPIIT: Type.Optional(open('GCE instance identity token. Accepted, not acted on yet.')),
  K8sSAT: Type.Optional(open('Kubernetes service account token. Accepted, not acted on yet.')),
  X509CertPOP: Type.Optional(open('Possession of a certificate. Accepted, not acted on yet.')),
  SSHCertPOP: Type.Optional(open('Possession of an SSH certificate. Accepted, not acted on yet.')),
  JWT: Type.Optional(open('A token of a trusted issuer. Accepted, not acted on yet.')),
  GitHubActions: Type.Optional(open('GitHub Actions ID token. Accepted, not acted on yet.')),
}
const methodNames = Object.keys(methods) as (keyof typeof methods)[]

const verifierSpec = closed(
  {
    ...methods,
    requiredMetadata: Type.Optional(
      list(stringMap('Facts that must all hold.'), 'Facts about the node that must hold: any of these.'),
    ),
    workloadIDTemplate: Type.Optional(text('Template of the daemon’s workload ID.')),
    daemonGroups: Type.Optional(daemonGroups),
  },
  'How daemons may prove themselves: exactly one method.',
)

const verifierStatus = statusOf(['PENDING', 'Available', 'FAILED'], {})

export type Verifier = ObjectOf<'Verifier', Static<typeof verifierSpec>, Static<typeof verifierStatus>>

/** By which method daemons prove themselves. */
export function verifierMethodOf({ spec }: Verifier): keyof typeof methods {
  return methodNames.find((name) => spec[name] !== undefined)!
}

/** Whether daemons may join by a token where this is the only one. What it asks for besides nobody can show yet. */
export function allowsJoinTokens({ spec }: Verifier): boolean {
  return Boolean(spec.joinToken && !spec.requiredMetadata && !spec.workloadIDTemplate)
}

export const verifier = defineKind({
  kind: 'Verifier',
  group: authGroup,
  plural: 'verifiers',
  description: 'A method by which daemons prove themselves when they join.',
  spec: verifierSpec,
  status: verifierStatus,
  columns: [
    stateColumn,
    {
      name: 'METHOD',
      says: verifierMethodOf,
      type: 'string',
      description: 'How daemons prove themselves.',
    },
    ageColumn,
    messageColumn,
  ],
  check: (spec) => [
    ...checkExactlyOne('spec', spec, methodNames),
    ...checkDaemonGroups(spec),
    ...(spec.requiredMetadata ?? []).flatMap((facts, index) =>
      Object.keys(facts).length === 0
        ? [required(at('spec.requiredMetadata', index), 'an empty map would accept every node')]
        : [],
    ),
  ],
  unsupported: (spec) => [
    ...methodNames.filter((name) => name !== 'joinToken' && spec[name]).map((name) => `spec.${name}`),
    ...(spec.requiredMetadata ? ['spec.requiredMetadata'] : []),
    ...(spec.workloadIDTemplate ? ['spec.workloadIDTemplate'] : []),
  ],
})

const joinTokenSpec = closed(
  {
    token: Type.Optional(
      Type.String({
        minLength: 16,
        maxLength: 512,
        writeOnly: true,
        description: 'The token. Kept as a hash and never given back.',
      }),
    ),
    workloadID: Type.Optional(text('Workload ID that the daemon gets; made by the server unless given.')),
    expireAt: Type.Optional(dateTime('When the token expires; never by itself unless given.')),
    daemonGroups: Type.Optional(daemonGroups),
  },
  'A single-use token by which one daemon may join.',
)

const joinTokenStatus = statusOf(['PENDING', 'AVAILABLE', 'EXPIRED'], {})

export type JoinToken = ObjectOf<'JoinToken', Static<typeof joinTokenSpec>, Static<typeof joinTokenStatus>>

export const joinToken = defineKind({
  kind: 'JoinToken',
  group: authGroup,
  plural: 'jointokens',
  shortNames: ['jt'],
  description: 'A single-use token by which one daemon may join; deleted when it has been used.',
  spec: joinTokenSpec,
  status: joinTokenStatus,
  columns: [
    { name: 'WORKLOAD ID', path: '.spec.workloadID', type: 'string', description: 'Who may join.' },
    stateColumn,
    { name: 'EXPIRES', path: '.spec.expireAt', type: 'date', description: 'When the token expires.' },
    ageColumn,
    messageColumn,
  ],
  selectableFields: ['spec.workloadID'],
  check: (spec) => [
    ...(spec.workloadID === undefined ? [] : checkWorkloadId('spec.workloadID', spec.workloadID)),
    ...checkDaemonGroups(spec),
  ],
  warn: ({ expireAt }) =>
    expireAt === undefined
      ? ['spec.expireAt is not set: the token stays valid until it is used or deleted']
      : [],
})
