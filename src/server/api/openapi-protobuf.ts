import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

type Write = (writer: BinaryWriter, field: number, value: unknown) => void

const string: Write = (writer, field, value) =>
  void writer.tag(field, WireType.LengthDelimited).string(value as string)
const bool: Write = (writer, field, value) => void writer.tag(field, WireType.Varint).bool(value as boolean)
const int64: Write = (writer, field, value) => void writer.tag(field, WireType.Varint).int64(value as number)
const double: Write = (writer, field, value) => void writer.tag(field, WireType.Bit64).double(value as number)

function nested(writer: BinaryWriter, field: number, content: (writer: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork()
  content(writer)
  writer.join()
}

const list =
  (item: Write): Write =>
  (writer, field, value) =>
    (value as readonly unknown[]).forEach((one) => item(writer, field, one))

/** Repeated messages of a name and a value. */
const map =
  (item: Write): Write =>
  (writer, field, value) =>
    Object.entries(value as object).forEach(([name, one]) =>
      nested(writer, field, (writer) => {
        string(writer, 1, name)
        item(writer, 2, one)
      }),
    )

/** A message around one field. */
const within =
  (inner: number, item: Write): Write =>
  (writer, field, value) =>
    nested(writer, field, (writer) => item(writer, inner, value))

/** Any JSON, as YAML, which JSON is. */
const any: Write = (writer, field, value) =>
  nested(writer, field, (writer) => string(writer, 2, JSON.stringify(value)))

/** A message: its fields by the names they have in JSON; `extensions` is the field for those that begin with x-. */
const message =
  (fields: () => Readonly<Record<string, readonly [field: number, write: Write]>>, extensions = 0): Write =>
  (writer, field, value) =>
    nested(writer, field, (writer) => writeFields(writer, fields(), extensions, value as object))

function writeFields(
  writer: BinaryWriter,
  fields: Readonly<Record<string, readonly [field: number, write: Write]>>,
  extensions: number,
  value: object,
): void {
  for (const [name, inner] of Object.entries(value)) {
    const known = fields[name]
    if (known) known[1](writer, known[0], inner)
    else if (name.startsWith('x-')) map(any)(writer, extensions, { [name]: inner })
    else throw new TypeError(`OpenAPI v2 has no ${name} here`)
  }
}

const schema: Write = message(
  () => ({
    $ref: [1, string],
    format: [2, string],
    description: [4, string],
    maximum: [7, double],
    minimum: [9, double],
    maxLength: [11, int64],
    minLength: [12, int64],
    pattern: [13, string],
    maxItems: [14, int64],
    minItems: [15, int64],
    required: [19, list(string)],
    enum: [20, list(any)],
    additionalProperties: [21, within(1, schema)],
    type: [22, within(1, string)],
    items: [23, within(1, schema)],
    properties: [25, within(1, map(schema))],
  }),
  31,
)

const bodyParameter = message(
  () => ({ name: [2, string], in: [3, string], required: [4, bool], schema: [5, schema] }),
  6,
)
const otherParameter = (type: number) =>
  message(() => ({
    required: [1, bool],
    in: [2, string],
    description: [3, string],
    name: [4, string],
    type: [type, string],
  }))
const queryParameter = within(3, otherParameter(6))
const pathParameter = within(4, otherParameter(5))

const parameter: Write = (writer, field, value) => {
  const { in: place } = value as { in: string }
  if (place === 'body') within(1, within(1, bodyParameter))(writer, field, value)
  // ParametersItem.parameter, Parameter.non_body_parameter
  else within(1, within(2, place === 'path' ? pathParameter : queryParameter))(writer, field, value)
}

const response = message(() => ({ description: [1, string], schema: [2, within(1, schema)] }))

const operation = message(
  () => ({
    tags: [1, list(string)],
    description: [3, string],
    operationId: [5, string],
    produces: [6, list(string)],
    consumes: [7, list(string)],
    parameters: [8, list(parameter)],
    responses: [9, within(1, map(within(1, response)))],
  }),
  13,
)

const pathItem = message(() => ({
  get: [2, operation],
  put: [3, operation],
  post: [4, operation],
  delete: [5, operation],
  patch: [8, operation],
}))

const info = message(() => ({ title: [1, string], version: [2, string], description: [3, string] }))

const apiKey = message(() => ({ type: [1, string], name: [2, string], in: [3, string] }))

const document = {
  swagger: [1, string],
  info: [2, info],
  paths: [8, within(2, map(pathItem))],
  definitions: [9, within(1, map(schema))],
  security: [12, list(within(1, map(within(1, list(string)))))],
  securityDefinitions: [13, within(1, map(within(2, apiKey)))],
} as const

/** An OpenAPI v2 document as `openapi.v2.Document` of gnostic's OpenAPIv2.proto, which older kubectl insists on. */
export function encodeOpenapiV2(value: object): Uint8Array {
  const writer = new BinaryWriter()
  writeFields(writer, document, 0, value)
  return writer.finish()
}
