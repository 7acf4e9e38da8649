import { createHash } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { AwsError } from './aws-error.ts'
import type { Call, Operation, Permission, Service } from './call.ts'
import { readJsonObject } from './json-body.ts'

interface Parameter {
  readonly name: string
  readonly type: string
  readonly value: string
  readonly version: number
  readonly modifiedAt: EpochMs
}

type Input = Readonly<Record<string, unknown>>

interface Action {
  /** Names of the parameters that the call touches; a path for GetParametersByPath. */
  names(input: Input): readonly string[]
  run(input: Input, call: Call): object
}

const maxParameters = 10_000
const maxValueBytes = 4096
const types: readonly unknown[] = ['String', 'StringList', 'SecureString']

/** AWS Systems Manager's Parameter Store. SecureString is told apart, not encrypted: nothing is stored. */
export function openSsm(accountId: string): Service {
  const parameters = new Map<string, Parameter>()

  const render = (
    region: string,
    { name, type, value, version, modifiedAt }: Parameter,
    decrypt: boolean,
  ) => ({
    Name: name,
    Type: type,
    Value: type === 'SecureString' && !decrypt ? createHash('sha256').update(value).digest('base64') : value,
    Version: version,
    LastModifiedDate: modifiedAt / 1000,
    ARN: arnOf(accountId, region, name),
    DataType: 'text',
  })

  const find = (name: string): Parameter => {
    const parameter = parameters.get(name)
    if (!parameter) throw new AwsError(400, 'ParameterNotFound', `Parameter ${name} not found.`)
    return parameter
  }

  const actions: Readonly<Record<string, Action>> = {
    PutParameter: {
      names: (input) => [text(input, 'Name')],
      run(input, call) {
        const name = text(input, 'Name')
        const value = text(input, 'Value')
        const old = parameters.get(name)
        if (!/^[\w./-]{1,1011}$/.test(name))
          throw new AwsError(400, 'ValidationException', 'Invalid parameter name')
        if (Buffer.byteLength(value) > maxValueBytes) {
          throw new AwsError(400, 'ValidationException', `A value has at most ${maxValueBytes} bytes`)
        }
        if (old && input.Overwrite !== true) {
          throw new AwsError(
            400,
            'ParameterAlreadyExists',
            'The parameter already exists. To overwrite this value, set the overwrite option in the request to true.',
          )
        }
        if (!old && parameters.size >= maxParameters) {
          throw new AwsError(400, 'ParameterLimitExceeded', `At most ${maxParameters} parameters`)
        }
        const type = input.Type ?? old?.type
        if (typeof type !== 'string' || !types.includes(type)) {
          throw new AwsError(
            400,
            'ValidationException',
            'A parameter type is required when you create a parameter.',
          )
        }
        const version = (old?.version ?? 0) + 1
        parameters.set(name, { name, type, value, version, modifiedAt: call.at })
        return { Version: version, Tier: 'Standard' }
      },
    },
    GetParameter: {
      names: (input) => [text(input, 'Name')],
      run: (input, call) => ({
        Parameter: render(call.region, find(text(input, 'Name')), input.WithDecryption === true),
      }),
    },
    GetParameters: {
      names: (input) => texts(input, 'Names'),
      run(input, call) {
        const names = texts(input, 'Names')
        return {
          Parameters: names
            .flatMap((name) => parameters.get(name) ?? [])
            .map((parameter) => render(call.region, parameter, input.WithDecryption === true)),
          InvalidParameters: names.filter((name) => !parameters.has(name)),
        }
      },
    },
    GetParametersByPath: {
      names: (input) => [text(input, 'Path')],
      run(input, call) {
        const path = text(input, 'Path')
        const prefix = path.endsWith('/') ? path : `${path}/`
        const found = [...parameters.values()]
          .filter(({ name }) => name.startsWith(prefix))
          .filter(({ name }) => input.Recursive === true || !name.slice(prefix.length).includes('/'))
          .sort((a, b) => (a.name < b.name ? -1 : 1))
        const start = typeof input.NextToken === 'string' ? Number(input.NextToken) || 0 : 0
        const end =
          start + Math.min(10, typeof input.MaxResults === 'number' ? Math.max(1, input.MaxResults) : 10)
        return {
          Parameters: found
            .slice(start, end)
            .map((parameter) => render(call.region, parameter, input.WithDecryption === true)),
          ...(end < found.length ? { NextToken: String(end) } : {}),
        }
      },
    },
    DeleteParameter: {
      names: (input) => [text(input, 'Name')],
      run(input) {
        parameters.delete(find(text(input, 'Name')).name)
        return {}
      },
    },
  }

  return {
    plan(call): Operation {
      const name = /^AmazonSSM\.(\w+)$/.exec(call.headers.get('x-amz-target') ?? '')?.[1] ?? ''
      const action = Object.hasOwn(actions, name) ? actions[name] : undefined
      if (!action) throw new AwsError(400, 'UnknownOperationException', `Unknown operation ${name}`)
      const input = readJsonObject(call.body)
      const permissions = action
        .names(input)
        .map((each): Permission => ({ action: `ssm:${name}`, resource: arnOf(accountId, call.region, each) }))
      return {
        name,
        permissions,
        run: () => ({
          status: 200,
          headers: { 'content-type': 'application/x-amz-json-1.1' },
          body: JSON.stringify(action.run(input, call)),
        }),
      }
    },
  }
}

function arnOf(accountId: string, region: string, name: string): string {
  return `arn:aws:ssm:${region}:${accountId}:parameter/${name.replace(/^\//, '')}`
}

function text(input: Input, name: string): string {
  const value = input[name]
  if (typeof value === 'string' && value !== '') return value
  throw new AwsError(400, 'ValidationException', `${name} must be a string that is not empty`)
}

function texts(input: Input, name: string): readonly string[] {
  const value = input[name]
  if (Array.isArray(value) && value.length > 0 && value.length <= 10) {
    return value.map((each: unknown) => text({ [name]: each }, name))
  }
  throw new AwsError(400, 'ValidationException', `${name} must be a list of 1 to 10 names`)
}
