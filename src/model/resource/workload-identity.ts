import { Type, type Static } from 'typebox'
import { parseWorkloadId } from '#model/identity'
import { at, invalid, malformed, required, type FieldError } from './field-error.ts'
import { ageColumn, coreGroup, defineKind, messageColumn, stateColumn, type ObjectOf } from './kind.ts'
import { choice, closed, flag, list, seconds, text, why } from './schema.ts'
import {
  assumableByAnyLocalUser,
  checkAnyProcess,
  checkSelectors,
  selectorList,
  unfilterableSelectors,
  unsupportedSelectorKeys,
} from './selector.ts'
import { statusOf } from './status.ts'

const reference = (description: string) =>
  closed({ id: text('The ID, such as riptides/daemongroup/production/workers.') }, description)

const connection = closed(
  {
    tls: Type.Optional(
      closed(
        {
          mode: Type.Optional(
            choice(
              ['MUTUAL', 'SIMPLE', 'PERMISSIVE'],
              'How connections are protected; SIMPLE for outside services.',
            ),
          ),
          intercept: Type.Optional(
            flag(
              'Terminate outbound TLS to bound hosts and originate it again, so that credentials can be injected.',
            ),
          ),
        },
        'TLS of connections.',
      ),
    ),
  },
  'How connections are made.',
)

const allowedSpiffeIds = closed(
  {
    inbound: Type.Optional(list(text('A full SPIFFE ID.'), 'Who may call.')),
    outbound: Type.Optional(list(text('A full SPIFFE ID.'), 'Who may be called.')),
  },
  'Peers that are allowed.',
)

const spec = closed(
  {
    workloadID: text('Path of the SPIFFE ID spiffe://<trustDomain>/<workloadID>, such as my-app/workload.'),
    scope: closed(
      {
        daemon: Type.Optional(reference("The one daemon, by its Daemon object's spec.workloadID.")),
        daemonGroup: Type.Optional(reference('The group of daemons.')),
        agentGroup: Type.Optional(reference('Older name of daemonGroup.')),
      },
      'Where the workload may run: exactly one of daemon, daemonGroup or agentGroup.',
    ),
    selectors: selectorList(
      'Which processes are this workload: any of these matches. They take 256 KiB of JSON at most.',
    ),
    anyProcessReason: Type.Optional(
      why(
        'Why it is safe here that any process on the node can be this workload, where a selector says so little. An extension of Tideway.',
      ),
    ),
    captureAll: Type.Optional(
      flag('Capture every process, for selectors that the kernel cannot filter by. An extension of Tideway.'),
    ),
    svid: Type.Optional(
      closed(
        {
          x509: Type.Optional(
            closed(
              {
                dnsNames: Type.Optional(list(text('A DNS name.'), 'Further DNS names in the certificate.')),
                ttl: Type.Optional(seconds('Lifetime of the certificate.')),
              },
              'X.509-SVID of the workload.',
            ),
          ),
          jwt: Type.Optional(
            closed(
              { audiences: Type.Optional(list(text('An audience.'), 'Audiences the workload may ask for.')) },
              'JWT-SVIDs of the workload. An extension of Tideway.',
            ),
          ),
        },
        'Identity documents of the workload.',
      ),
    ),
    connection: Type.Optional(connection),
    allowedSPIFFEIDs: Type.Optional(allowedSpiffeIds),
    egress: Type.Optional(
      list(
        closed(
          {
            selectors: Type.Optional(selectorList('Labels of the Services meant.')),
            workloadID: Type.Optional(text('Workload that is called.')),
            connection: Type.Optional(connection),
            allowedSPIFFEIDs: Type.Optional(allowedSpiffeIds),
          },
          'A rule for some destinations.',
        ),
        'Rules per destination.',
      ),
    ),
  },
  'A workload: its identity, where it may run and which processes it is.',
)

const status = statusOf(['PENDING', 'OK', 'FAILED'], {
  spiffeID: Type.Optional(text('SPIFFE ID of the workload.')),
})

export type WorkloadIdentitySpec = Static<typeof spec>
export type WorkloadIdentity = ObjectOf<'WorkloadIdentity', WorkloadIdentitySpec, Static<typeof status>>

/** Where a workload may run, with the older spelling resolved. */
export type WorkloadScope =
  | { readonly kind: 'daemon'; readonly id: string }
  | { readonly kind: 'daemonGroup'; readonly id: string }

/** The scope of a valid specification. */
export function scopeOf({ scope }: Pick<WorkloadIdentitySpec, 'scope'>): WorkloadScope {
  if (scope.daemon) return { kind: 'daemon', id: scope.daemon.id }
  const group = scope.daemonGroup ?? scope.agentGroup
  if (!group) throw new TypeError('a scope without daemon, daemonGroup and agentGroup is invalid')
  return { kind: 'daemonGroup', id: group.id }
}

/** Field errors of a workload ID at `path`. */
export function checkWorkloadId(path: string, workloadId: string): FieldError[] {
  try {
    parseWorkloadId(workloadId)
    return []
  } catch {
    return [
      invalid(
        path,
        workloadId,
        "must be a path of segments made of letters, digits, '.', '_', '-', such as my-app/workload",
      ),
    ]
  }
}

/** Field errors unless exactly one of `keys` is present in `value`. */
export function checkExactlyOne(path: string, value: object, keys: readonly string[]): FieldError[] {
  const present = keys.filter((key) => Object.hasOwn(value, key))
  if (present.length === 1) return []
  const wanted = `exactly one of ${keys.join(', ')} must be set`
  if (present.length === 0) return [required(path, wanted)]
  return [malformed(path, `${wanted}, not ${present.join(' and ')}`)]
}

export const workloadIdentity = defineKind({
  kind: 'WorkloadIdentity',
  group: coreGroup,
  plural: 'workloadidentitys',
  aliases: ['workloadidentities'],
  shortNames: ['wi'],
  description: 'A workload: its SPIFFE identity, the daemons on which it may run, and the processes it is.',
  spec,
  status,
  columns: [
    { name: 'WORKLOAD ID', path: '.spec.workloadID', type: 'string', description: 'Path of the SPIFFE ID.' },
    {
      name: 'DAEMON',
      path: '.spec.scope.*.id',
      type: 'string',
      description: 'The daemon or group of daemons.',
    },
    stateColumn,
    ageColumn,
    messageColumn,
  ],
  selectableFields: ['spec.workloadID', 'spec.scope.daemon.id', 'spec.scope.daemonGroup.id'],
  check: (spec) => [
    ...checkWorkloadId('spec.workloadID', spec.workloadID),
    ...checkExactlyOne('spec.scope', spec.scope, ['daemon', 'daemonGroup', 'agentGroup']),
    ...checkSelectors('spec.selectors', spec.selectors),
    ...checkAnyProcess('spec.selectors', spec.selectors, spec.anyProcessReason),
  ],
  warn: (spec) => [
    ...(assumableByAnyLocalUser(spec.selectors)
      ? [
          'AssumableByAnyLocalUser: a selector says what runs but not who runs it; add process:uid or systemd:unit',
        ]
      : []),
    ...(spec.captureAll
      ? ['spec.captureAll: every process of the daemon is captured once and attested']
      : unfilterableSelectors(spec.selectors).map(
          (index) =>
            `${at('spec.selectors', index)}: no key that the kernel can filter by; matches nothing unless spec.captureAll is true`,
        )),
  ],
  unsupported: (spec) => [
    ...unsupportedSelectorKeys('spec.selectors', spec.selectors),
    ...(spec.svid?.x509 ? ['spec.svid.x509'] : []),
    ...(spec.svid?.jwt ? ['spec.svid.jwt'] : []),
    ...unsupportedMode('spec.connection.tls.mode', spec.connection?.tls?.mode),
    ...(spec.allowedSPIFFEIDs ? ['spec.allowedSPIFFEIDs'] : []),
    ...(spec.egress?.map((_, index) => at('spec.egress', index)) ?? []),
  ],
})

/** Only SIMPLE is what happens today: the real server's certificate is verified, and the client shows none. */
function unsupportedMode(path: string, mode: string | undefined): string[] {
  return mode === undefined || mode === 'SIMPLE' ? [] : [path]
}
