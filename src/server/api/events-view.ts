import { Type, type TSchema } from 'typebox'
import { definitionOf, type Event, type Kind, type KindDefinition, type Resource } from '#model/resource'

/** A kind as it is served: objects of a stored kind, perhaps in a form of another group, which is read only. */
export interface ServedKind extends KindDefinition<Kind> {
  readonly present?: (object: Resource) => object
}

const stored = definitionOf('Event')
const { properties } = stored.schema as unknown as { properties: Readonly<Record<string, TSchema>> }
const { metadata, involvedObject, type, reason, message, action, related, series, source } = properties

const time = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }))

const schema = Type.Object(
  {
    apiVersion: Type.Literal('events.k8s.io/v1', { description: 'API group and version.' }),
    kind: Type.Literal('Event', { description: 'Kind of the object.' }),
    metadata: metadata!,
    eventTime: time('When it happened, for events that are told once.'),
    regarding: involvedObject!,
    related: related!,
    reason: reason!,
    action: action!,
    type: type!,
    note: message!,
    series: series!,
    reportingController: Type.Optional(Type.String({ description: 'The program that tells it.' })),
    reportingInstance: Type.Optional(Type.String({ description: 'Which of its instances.' })),
    deprecatedSource: source!,
    deprecatedFirstTimestamp: time('When it happened first.'),
    deprecatedLastTimestamp: time('When it happened last.'),
    deprecatedCount: Type.Optional(Type.Integer({ description: 'How often it happened.' })),
  },
  { additionalProperties: false, description: stored.description },
)

/** An event in the words of events.k8s.io (pkg/apis/events/v1/conversion.go of Kubernetes). */
function present(object: Resource): object {
  const {
    involvedObject,
    message,
    reportingComponent,
    source,
    firstTimestamp,
    lastTimestamp,
    count,
    ...same
  } = object as Event
  return {
    ...same,
    apiVersion: 'events.k8s.io/v1',
    eventTime: same.eventTime ?? null,
    regarding: involvedObject,
    ...(message !== undefined && { note: message }),
    ...(reportingComponent !== undefined && { reportingController: reportingComponent }),
    ...(source && { deprecatedSource: source }),
    ...(firstTimestamp !== undefined && { deprecatedFirstTimestamp: firstTimestamp }),
    ...(lastTimestamp !== undefined && { deprecatedLastTimestamp: lastTimestamp }),
    ...(count !== undefined && { deprecatedCount: count }),
  }
}

/** The events of the core group once more, as newer clients ask for them. */
export const eventsView: ServedKind = {
  ...stored,
  group: 'events.k8s.io',
  apiVersion: 'events.k8s.io/v1',
  // Or kubectl warns, at each use of the short name, that it could mean this too.
  shortNames: [],
  schema,
  selectableFields: [
    'regarding.apiVersion',
    'regarding.fieldPath',
    'regarding.kind',
    'regarding.name',
    'regarding.namespace',
    'regarding.resourceVersion',
    'regarding.uid',
    'reason',
    'reportingController',
    'type',
  ],
  present,
}
