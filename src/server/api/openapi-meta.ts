import { Type, type TSchema } from 'typebox'
import { kinds } from '#model/resource'
import type { Schema } from './openapi-schema.ts'

const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1'
export const objectMetaName = `${meta}.ObjectMeta`
export const listMetaName = `${meta}.ListMeta`
export const statusName = `${meta}.Status`
export const deleteOptionsName = `${meta}.DeleteOptions`
export const patchName = `${meta}.Patch`

const schemaOf = (schema: TSchema) => schema as unknown as Schema
const text = (description: string) => Type.Optional(Type.String({ description }))
const integer = (description: string) => Type.Optional(Type.Integer({ description }))

const listMeta = Type.Object(
  {
    resourceVersion: text('Version of the list, from which a watch can go on.'),
    continue: text('Set when there is more: what to give as `continue` for the next part.'),
    remainingItemCount: integer('How many objects follow, when that is known.'),
  },
  { description: 'Where a list stands.' },
)

const statusCause = Type.Object(
  {
    reason: text('One CamelCase word for programs, such as FieldValueInvalid.'),
    message: text('What is wrong, for people.'),
    field: text('Path of the field, such as spec.selectors[0].'),
  },
  { description: 'One thing that is wrong.' },
)

const status = Type.Object(
  {
    apiVersion: text('API version: v1.'),
    kind: text('Kind of the answer: Status.'),
    metadata: Type.Optional(listMeta),
    status: text('Success or Failure.'),
    message: text('What happened, for people.'),
    reason: text('One CamelCase word for programs, such as NotFound.'),
    details: Type.Optional(
      Type.Object(
        {
          name: text('Name of the object.'),
          group: text('API group of its kind.'),
          kind: text('Plural of its kind.'),
          uid: text('Its unique identifier.'),
          causes: Type.Optional(Type.Array(statusCause, { description: 'Everything that is wrong.' })),
          retryAfterSeconds: integer('After how many seconds to try again.'),
        },
        { description: 'What it was about.' },
      ),
    ),
    code: integer('HTTP status.'),
  },
  { description: 'How a request ended that does not answer with objects.' },
)

const deleteOptions = Type.Object(
  {
    apiVersion: text('API version: v1.'),
    kind: text('Kind: DeleteOptions.'),
    dryRun: Type.Optional(
      Type.Array(Type.String({ description: 'All.' }), { description: 'With All nothing is deleted.' }),
    ),
    gracePeriodSeconds: integer('Accepted; objects have no grace period.'),
    preconditions: Type.Optional(
      Type.Object(
        {
          uid: text('The unique identifier it must have.'),
          resourceVersion: text('The version it must have.'),
        },
        { description: 'What must hold of the object, or it is not deleted.' },
      ),
    ),
    propagationPolicy: text('What becomes of objects that it owns: Background, Foreground or Orphan.'),
  },
  { description: 'How to delete.' },
)

const objectMeta = schemaOf(kinds[0]!.schema).properties!['metadata']!

/** What all kinds have in common, by name. */
export const metaSchemas: Readonly<Record<string, Schema>> = {
  [objectMetaName]: objectMeta,
  [listMetaName]: schemaOf(listMeta),
  [statusName]: schemaOf(status),
  [deleteOptionsName]: schemaOf(deleteOptions),
  [patchName]: { type: 'object', description: 'A patch, in the form that its content type names.' },
}
