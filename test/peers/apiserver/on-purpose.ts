// Where our answers differ from those of kube-apiserver, and why: reasons, each with the cases of a table.

type Reasons = Readonly<Record<string, readonly string[]>>

const reads: Reasons = {
  'a get answers with the newest there is, whatever version it names': [
    'one with resourceVersion of the future',
    'one with a malformed resourceVersion',
  ],
  'a parameter that cannot be meant is refused': ['a negative limit', 'a parameter twice'],
  'what is malformed is the fault of the client': ['a watch from a version that is none'],
  'a version of the future is one of before a restore: the client has to list again': [
    'a watch from the future',
  ],
  'who comes too early is told when to come again': ['exactly the future'],
  'a watch that ends says from where to go on, however short it was': [
    'a watch with bookmarks',
    'a streaming list',
    'a streaming list from 0',
    'a streaming list from a version',
    'no initial events',
  ],
  'objects have a state from their first moment, and tables show it': [
    'a watch as a table',
    'list as Table;v=v1;g=meta.k8s.io',
    'get as Table;v=v1;g=meta.k8s.io',
    'list as Table;v=v1beta1;g=meta.k8s.io',
    'get as Table;v=v1beta1;g=meta.k8s.io',
    'a table with objects',
    'a table without',
  ],
  'paths that Kubernetes has given up are not served': ['the old path of watches'],
  'metadata of one and of many have one name': [
    'get as PartialObjectMetadataList;v=v1;g=meta.k8s.io',
    'list as PartialObjectMetadata;v=v1;g=meta.k8s.io',
  ],
  'answers are JSON': ['accept application/vnd.kubernetes.protobuf', 'accept application/yaml'],
}

const creates: Reasons = {
  'what has another form than the schema is invalid, and the field is named': [
    'a name of a wrong type',
    'with an annotation that is no text',
    'with a label that is no text',
    'unknown fields, Strict',
    'unknown metadata, Strict',
    'a value of a wrong type',
    'with large annotations',
    'a long field manager',
    'a Secret that is no base64',
    'a Secret with an unknown field',
    'a Secret with a wrong key',
    'a Role with URLs',
    'a RoleBinding without roleRef',
    'another roleRef',
    'with a resourceVersion',
    'with an owner that has no uid',
    'with an owner that has an empty uid',
    'with an owner without kind',
    'with an owner of a wrong apiVersion',
  ],
  'a generated name is judged as a whole': ['a wrong generateName'],
  'namespaces come into being by being used, and there is one for who names none': [
    'without namespace',
    'without namespace in the path',
    'in a namespace that is not there',
    'in a namespace of a wrong name',
  ],
  'objects are created in their collection': ['to a name'],
  'finalizers without a domain are in use, by Kubernetes too': ['with a wrong finalizer'],
  'an item twice would have no owner': ['with a finalizer twice', 'with an owner twice'],
  'Events own nothing, and harm nothing when they do': ['with an owner that is an Event'],
  'fields that a kind does not have are refused unless the client says otherwise': ['unknown fields'],
  'warnings come in the order of the fields': ['unknown fields, Warn'],
  'another kind is another request': ['another kind', 'an unknown kind', 'another version'],
  'YAML has each key once': ['YAML with a key twice'],
  'a parameter is given once': ['a dry run twice'],
  'objects have a state from their first moment, and tables show it': ['as a table'],
  'nothing selects namespaces by label, and metadata has the finalizer': [
    'a namespace',
    'a namespace by its path',
    'delete a namespace',
  ],
  'Secrets are write only': ['a Secret', 'a Secret in lines', 'a Secret with an unknown field and a warning'],
  'what a writer leaves out stays out': ['a Role without rules', 'a RoleBinding', 'an Event'],
  'events and roles have the columns of tideway ctl': [
    'the Event of events.k8s.io',
    'Events as a table',
    'Events of an object',
    'Roles as a table',
    'RoleBindings as a table',
  ],
}

const updates: Reasons = {
  'without a version a write goes through': ['a change without version'],
  'no version of ours is like it': ['a malformed version'],
  'the words are those of other conflicts': ['a uid that is another', 'the uid', 'the uid by merge'],
  'the path says what the body leaves out': ['no name', 'metadata null'],
  'another kind is another request': ['another kind', 'the kind', 'the kind by merge'],
  'what the server sets is passed over': ['a deletionTimestamp'],
  'what has another form than the schema is invalid, and the field is named': [
    'a value of a wrong type',
    'unknown fields',
    'a status of a wrong type',
    'a wrong type',
    'an unknown field',
    'the name',
    'the namespace',
    'the name by merge',
    'the namespace by merge',
    'a JSON patch that is an object',
    'too many operations',
  ],
  'a path that there is, and a method that it does not have': [
    'to a collection',
    'a collection',
    'delete a status',
    'post a status',
  ],
  'there is no such path': ['an unknown subresource', 'get an unknown subresource'],
  'JSON patch is that of RFC 6902: a replaced value exists, an added one is given, and what else is said is passed by':
    ['replace what is not there', 'an add without value', 'an unknown field of the operation'],
  'a field twice is the same mistake in every body': ['a key twice'],
  'what is not acted on is warned of': ['a patch with a charset'],
  'Secrets are write only': ['a Secret', 'a strategic patch of a Secret', 'an immutable Secret'],
  'a directive that is none is passed by': ['a strategic patch with a bad directive'],
}

const managers = [
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
]

const applies: Reasons = {
  'who takes fields over has a time, also where no value changes': [
    'agreeing with an update',
    'force that is none',
    'no name',
  ],
  'what has another form than the schema is invalid, and the field is named': [
    'a long manager',
    'an unknown field',
    'an unknown field, strictly',
    'an item twice',
  ],
  'a version of what is not there is a mistake': ['a version of what is not there'],
  'the words are those of other conflicts': ['another uid'],
  'a conflict is found before the form is': ['a wrong type'],
  'null is not set': ['null'],
  'YAML has each key once': ['a key twice'],
  'objects have a state from their first moment': [
    'to the status',
    'a status with conditions',
    'a condition of another',
    'update of the status',
    'nobody keeps count',
    'after nobody kept count',
  ],
  'the namespace of the path is part of what was applied': [
    'kubectl takes over',
    ...managers.map((name) => `manager ${name}`),
  ],
  'namespaces come into being by being used': ['what nobody may create in'],
}

const deletes: Reasons = {
  'the words are those of other conflicts': [
    'another uid',
    'another version',
    'finalizers and another version',
  ],
  'a cause is told once': ['a new finalizer'],
  'who takes fields over has a time, also where no value changes': [
    'apply while it is deleted',
    'the last finalizer removed',
  ],
  'objects are as they are after it': ['a dry run of a collection', 'a collection by label'],
  'a collection may be deleted in all namespaces': ['of all namespaces'],
}

const places: Reasons = {
  'there is no such path, for any method': [
    'options',
    'trace',
    'a method of nobody',
    'post to discovery',
    'reviews are not listed',
  ],
  'a path that there is, and a method that it does not have': [
    'post to one',
    'put to a collection',
    'patch of a collection',
  ],
  'there is no such path, or kind, and one text says so': [
    'an unknown kind of v1',
    'the root',
    'an unknown subresource',
    'below a subresource',
    'a kind with a status that it has not',
    'the status of a role',
    'a kind of the cluster in a namespace',
    'one of the cluster in a namespace',
    'an unknown subresource of a namespace',
  ],
  'one path means one thing: slashes, dots and escapes are what they are': [
    'a slash at the end of a collection',
    'a slash at the end of one',
    'a dot segment',
    'two dots',
    'an encoded slash',
    'an empty namespace',
  ],
  'every refusal is a Status': ['a malformed encoding'],
  'kinds have several spellings': ['capitals in the kind', 'the singular'],
  'nothing selects namespaces by label, and metadata has the finalizer': ['status of a namespace'],
  'nobody is anonymous': ['no token', 'another scheme'],
  'roles that all users have are made by the program, not by the API': [
    'nobody reads discovery',
    'rules of ada',
    'who am I',
    'what I may in places',
  ],
  'a binding names its role in three fields': ['bind ada'],
  'questions are answered, and not owned': [
    'may I get services',
    'may I read metrics',
    'may I, without a question',
    'may I, with two questions',
    'may nobody get a service',
    'may ada create roles',
    'may, without a user',
    'what I may',
    'may nobody get Secrets of places',
    'may nobody get Secrets of another namespace',
    'whose token',
  ],
  'we have other kinds, in another order': [
    'discovery of core',
    'discovery of groups',
    'discovery with a slash',
    'discovery of one version',
    'discovery of a version with a slash',
    'discovery of roles',
    'discovery of v1',
    'aggregated discovery of groups',
    'aggregated discovery of core',
    'aggregated discovery of old',
    'discovery as protobuf',
    'version',
    'version with a slash',
  ],
}

/** Each of some names with each of some endings. */
const each = (names: readonly string[], endings: readonly string[]) =>
  names.flatMap((name) => endings.map((ending) => name + ending))

const malformed = ['text', 'a negative one', 'one beyond all']
const starts = ['', ', with what there is', ', without what there is']

const versions: Reasons = {
  'a limit counts for every version': each(['list of zero', 'list of zero, not older'], [', two of them']),
  'who comes too early is told when to come again': [
    'list of the future, two of them',
    ...each(['list of the future, exactly'], ['', ', two of them']),
  ],
  'what is malformed is the fault of the client, and said first': [
    ...each(
      malformed.map((version) => `list of ${version}, otherwise`),
      ['', ', two of them'],
    ),
    ...each(
      ['', ', exactly', ', not older', ', otherwise'].map((match) => `watch from text${match}`),
      starts,
    ),
  ],
  'a version of the future is one of before a restore: the client has to list again': [
    'watch from the future',
    'watch from the future, not older, without what there is',
  ],
  'a watch that ends says from where to go on, however short it was': [
    ...each(
      ['none', 'zero', 'past', 'the present'].map((version) => `watch from ${version}`),
      ['', ...starts.slice(1).map((start) => `, not older${start}`)],
    ),
    'forgotten, watch from the first, not older, with what there is',
  ],
  'what is forgotten is so in our words': [
    'the rest of what is forgotten',
    'forgotten, list of past, two of them',
    ...each(['forgotten, list of past, exactly'], ['', ', two of them']),
    ...each(['forgotten, watch from the first'], ['', ', not older, without what there is']),
  ],
}

const tables: Readonly<Record<string, Reasons>> = {
  reads,
  creates,
  updates,
  applies,
  deletes,
  places,
  versions,
}

/** Why the answers to a case differ; undefined where they must not. */
export function reasonFor(table: string, name: string): string | undefined {
  return Object.entries(tables[table] ?? {}).find(([, names]) => names.includes(name))?.[0]
}
