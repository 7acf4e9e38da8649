import { Type, type Static } from 'typebox'
import type { CaptureLevel } from '#model/scope'
import { required } from './field-error.ts'
import { ageColumn, coreGroup, defineKind, messageColumn, stateColumn, type ObjectOf } from './kind.ts'
import { choice, closed, dateTime, flag, list, text, why } from './schema.ts'
import { checkLabelSelectors, selectorList } from './selector.ts'
import { statusOf } from './status.ts'
import { checkWorkloadId } from './workload-identity.ts'

const captureLevels = ['process', 'workload', 'user'] as const satisfies readonly CaptureLevel[]

const spec = closed(
  {
    workloadID: text('The workloadID of a WorkloadIdentity.'),
    credentialSource: text('Name of a CredentialSource in the same namespace.'),
    propagation: closed(
      {
        injection: Type.Optional(
          closed(
            { selectors: selectorList('Labels of the Services meant: any of these matches.') },
            'Inject into requests on the wire.',
          ),
        ),
        sysfs: Type.Optional(closed({}, 'Deliver as a file. Accepted, not acted on yet.')),
      },
      'How the workload gets the credential: injection, sysfs or both.',
    ),
    minimumCapture: Type.Optional(
      choice(
        captureLevels,
        'Weakest capture level that may use it; process unless given. An extension of Tideway.',
      ),
    ),
    plainTextReason: Type.Optional(
      why(
        'Why it is safe to send its credential over connections without TLS to an external Service. An extension of Tideway.',
      ),
    ),
    allowCredentialIssuance: Type.Optional(
      flag('Sign calls that return credentials, such as AssumeRole, too. An extension of Tideway.'),
    ),
  },
  'Which workload gets which credential, and how.',
)

const status = statusOf(['PENDING', 'OK', 'FAILED'], {
  credential: Type.Optional(
    closed(
      {
        id: text('Public id of the current credential, such as an AWS access key ID.'),
        issuedAt: dateTime('When it was issued.'),
        expiresAt: dateTime('When it expires.'),
      },
      'The current credential.',
    ),
  ),
  daemons: Type.Optional(
    list(
      closed(
        {
          name: text('Name of the Daemon.'),
          state: choice(['PENDING', 'OK', 'FAILED', 'WITHHELD'], 'Whether it is in effect there.'),
          message: Type.Optional(Type.String({ description: 'Why.' })),
        },
        'The binding on one daemon.',
      ),
      'Daemons in scope.',
    ),
  ),
})

export type CredentialBindingSpec = Static<typeof spec>
export type CredentialBinding = ObjectOf<'CredentialBinding', CredentialBindingSpec, Static<typeof status>>

export const credentialBinding = defineKind({
  kind: 'CredentialBinding',
  group: coreGroup,
  plural: 'credentialbindings',
  shortNames: ['cb'],
  description: 'Gives a workload a credential, by injection on the wire or as a file.',
  spec,
  status,
  columns: [
    { name: 'WORKLOAD ID', path: '.spec.workloadID', type: 'string', description: 'Who gets it.' },
    { name: 'SOURCE', path: '.spec.credentialSource', type: 'string', description: 'Where it comes from.' },
    stateColumn,
    {
      name: 'EXPIRES',
      path: '.status.credential.expiresAt',
      type: 'date',
      description: 'When the current credential expires.',
    },
    ageColumn,
    {
      name: 'CREDENTIAL',
      path: '.status.credential.id',
      type: 'string',
      description: 'Public id of the current credential.',
      wide: true,
    },
    {
      name: 'DAEMONS',
      path: '.status.daemons[*].name',
      type: 'string',
      description: 'Daemons in scope.',
      wide: true,
    },
    messageColumn,
  ],
  selectableFields: ['spec.workloadID', 'spec.credentialSource'],
  check: ({ workloadID, propagation }) => [
    ...checkWorkloadId('spec.workloadID', workloadID),
    ...(propagation.injection || propagation.sysfs
      ? []
      : [required('spec.propagation', 'injection, sysfs or both must be set')]),
    ...(propagation.injection
      ? checkLabelSelectors('spec.propagation.injection.selectors', propagation.injection.selectors)
      : []),
  ],
  unsupported: ({ propagation }) => (propagation.sysfs ? ['spec.propagation.sysfs'] : []),
})

const workloadCredentialSpec = closed(
  {
    workloadID: text('The workloadID of a WorkloadIdentity.'),
    credentialSource: text('Name of a CredentialSource in the same namespace.'),
  },
  'Which workload gets which credential as a file.',
)

export type WorkloadCredential = ObjectOf<
  'WorkloadCredential',
  Static<typeof workloadCredentialSpec>,
  Static<typeof status>
>

/** The binding that a WorkloadCredential stands for. */
export function bindingSpecOf({ spec }: WorkloadCredential): CredentialBindingSpec {
  return { ...spec, propagation: { sysfs: {} } }
}

export const workloadCredential = defineKind({
  kind: 'WorkloadCredential',
  group: coreGroup,
  plural: 'workloadcredentials',
  shortNames: ['wc'],
  description: 'Deprecated: a CredentialBinding with file delivery.',
  spec: workloadCredentialSpec,
  status,
  columns: credentialBinding.columns,
  selectableFields: ['spec.workloadID', 'spec.credentialSource'],
  check: ({ workloadID }) => checkWorkloadId('spec.workloadID', workloadID),
  warn: () => ['WorkloadCredential is deprecated; use CredentialBinding with propagation.sysfs'],
  unsupported: () => ['spec'],
})
