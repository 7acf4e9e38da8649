import { Type, type Static } from 'typebox'
import { at, invalid, malformed, type FieldError } from './field-error.ts'
import { ageColumn, type KindDefinition } from './kind.ts'
import { objectMeta, type ObjectMeta } from './object-meta.ts'
import { flag, text } from './schema.ts'

const schema = Type.Object(
  {
    apiVersion: Type.Literal('v1', { description: 'API version.' }),
    kind: Type.Literal('Secret', { description: 'Kind of the object.' }),
    metadata: objectMeta,
    type: Type.Optional(text('Type of the Secret; Opaque unless given.')),
    immutable: Type.Optional(flag('Whether the values, and this, may change no more.')),
    data: Type.Optional(
      Type.Record(Type.String(), Type.String({ description: 'The value of one key.' }), {
        writeOnly: true,
        description: 'Values in base64. Kept sealed and never given back.',
      }),
    ),
    stringData: Type.Optional(
      Type.Record(Type.String(), Type.String({ description: 'The value of one key.' }), {
        writeOnly: true,
        description: 'Values as text; joins `data`. Never given back.',
      }),
    ),
  },
  { additionalProperties: false, description: 'Values that only the control plane reads.' },
)

export type Secret = Omit<Static<typeof schema>, 'metadata' | 'apiVersion'> & {
  apiVersion: string
  metadata: ObjectMeta
  /** Nothing is observed about a Secret; here so that every object may be asked. */
  status?: undefined
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** What programs put into long texts in base64, `base64` of GNU every 76 letters; Kubernetes reads over it. */
const lineBreaks = /[\r\n]+/g

/** Values of a Secret, each in one line. */
export function inOneLine(data: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, text.replaceAll(lineBreaks, '')]))
}

function check({ data = {}, stringData = {} }: Secret): FieldError[] {
  return [
    ...Object.entries(inOneLine(data)).flatMap(([key, value]) =>
      base64.test(value) ? [] : [malformed(at('data', key), 'must be base64')],
    ),
    ...['data', 'stringData'].flatMap((field) =>
      Object.keys(field === 'data' ? data : stringData)
        .filter((key) => !/^[-._a-zA-Z0-9]{1,253}$/.test(key))
        .map((key) => invalid(at(field, key), key, "a key is made of letters, digits, '-', '_' and '.'")),
    ),
  ]
}

export const secret = {
  kind: 'Secret',
  group: '',
  version: 'v1',
  apiVersion: 'v1',
  scope: 'Namespaced',
  plural: 'secrets',
  singular: 'secret',
  shortNames: [],
  categories: ['tideway'],
  aliases: [],
  description: 'Values that only the control plane reads.',
  schema,
  columns: [{ name: 'TYPE', path: '.type', type: 'string', description: 'Type of the Secret.' }, ageColumn],
  selectableFields: ['type'],
  check,
  warn: () => [],
  unsupported: () => [],
} as const satisfies KindDefinition<'Secret'>
