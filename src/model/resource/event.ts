import { Type, type Static } from 'typebox'
import { nameColumn, type KindDefinition } from './kind.ts'
import { objectMeta, type ObjectMeta } from './object-meta.ts'
import { choice, closed, dateTime, open, text } from './schema.ts'

const involvedObject = closed(
  {
    apiVersion: Type.Optional(text('API group and version of the object.')),
    kind: Type.Optional(text('Kind of the object.')),
    namespace: Type.Optional(text('Namespace of the object.')),
    name: Type.Optional(text('Name of the object.')),
    uid: Type.Optional(text('uid of the object.')),
    resourceVersion: Type.Optional(text('Version of the object that the event tells of.')),
    fieldPath: Type.Optional(text('The part of the object that it is about.')),
  },
  'The object that the event is about.',
)

const description = 'Something that happened to an object. Forgotten an hour after it happened last.'

const note = (description: string) => Type.String({ maxLength: 1024, description })

const schema = Type.Object(
  {
    apiVersion: Type.Literal('v1', { description: 'API version.' }),
    kind: Type.Literal('Event', { description: 'Kind of the object.' }),
    metadata: objectMeta,
    involvedObject,
    type: Type.Optional(choice(['Normal', 'Warning'], 'Whether somebody has to do something.')),
    reason: Type.Optional(note('Why, in one CamelCase word for programs.')),
    message: Type.Optional(note('What happened, for people.')),
    firstTimestamp: Type.Optional(dateTime('When it happened first.')),
    lastTimestamp: Type.Optional(dateTime('When it happened last.')),
    eventTime: Type.Optional(dateTime('When it happened, for events that are told once.')),
    count: Type.Optional(Type.Integer({ description: 'How often it happened.' })),
    action: Type.Optional(note('What was done or failed.')),
    source: Type.Optional(
      closed(
        {
          component: Type.Optional(text('The program.')),
          host: Type.Optional(text('The machine that it runs on.')),
        },
        'Who tells it.',
      ),
    ),
    related: Type.Optional(open('Another object that it is about.')),
    series: Type.Optional(open('How often it happened, for events of the newer form.')),
    reportingComponent: Type.Optional(note('The program that tells it.')),
    reportingInstance: Type.Optional(note('Which of its instances.')),
  },
  { additionalProperties: false, description },
)

export type Event = Omit<Static<typeof schema>, 'metadata' | 'apiVersion'> & {
  apiVersion: string
  metadata: ObjectMeta
  /** Nothing is observed about it; here so that every object may be asked. */
  status?: undefined
}

export const event = {
  kind: 'Event',
  group: '',
  version: 'v1',
  apiVersion: 'v1',
  scope: 'Namespaced',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  categories: [],
  aliases: [],
  description,
  schema,
  // As Kubernetes prints them (pkg/printers/internalversion/printers.go).
  columns: [
    {
      name: 'LAST SEEN',
      says: ({ lastTimestamp, firstTimestamp, eventTime }: Event) =>
        lastTimestamp ?? firstTimestamp ?? eventTime,
      type: 'date',
      description: 'When it happened last.',
    },
    { name: 'TYPE', path: '.type', type: 'string', description: 'Whether somebody has to do something.' },
    { name: 'REASON', path: '.reason', type: 'string', description: 'Why, in one word.' },
    {
      name: 'OBJECT',
      says: ({ involvedObject: { kind = '', name = '' } }: Event) => `${kind.toLowerCase()}/${name}`,
      type: 'string',
      description: 'The object that it is about.',
    },
    {
      name: 'SUBOBJECT',
      path: '.involvedObject.fieldPath',
      type: 'string',
      description: 'Its part.',
      wide: true,
    },
    { name: 'SOURCE', path: '.source.component', type: 'string', description: 'Who tells it.', wide: true },
    { name: 'MESSAGE', path: '.message', type: 'string', description: 'What happened.' },
    {
      name: 'FIRST SEEN',
      says: ({ firstTimestamp, eventTime }: Event) => firstTimestamp ?? eventTime,
      type: 'date',
      description: 'When it happened first.',
      wide: true,
    },
    { name: 'COUNT', path: '.count', type: 'integer', description: 'How often it happened.', wide: true },
    { ...nameColumn, wide: true },
  ],
  selectableFields: [
    'involvedObject.apiVersion',
    'involvedObject.fieldPath',
    'involvedObject.kind',
    'involvedObject.name',
    'involvedObject.namespace',
    'involvedObject.resourceVersion',
    'involvedObject.uid',
    'reason',
    'reportingComponent',
    'source.component',
    'type',
  ],
  check: () => [],
  warn: () => [],
  unsupported: () => [],
} as const satisfies KindDefinition<'Event'>
