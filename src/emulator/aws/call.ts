import type { EpochMs } from '#base/clock'
import type { Principal } from './principal.ts'

export type ServiceName = 'sts' | 'iam' | 's3' | 'ssm' | 'bedrock-runtime' | 'bedrock-agent-runtime'

/** One request after routing and authentication, body decoded. */
export interface Call {
  readonly method: string
  /** Decoded segments of the path; with a bucket in the host name the bucket comes first. */
  readonly segments: readonly string[]
  readonly query: ReadonlyMap<string, readonly string[]>
  /** Lower-case names; values of repeated headers joined by commas. */
  readonly headers: ReadonlyMap<string, string>
  /** Of an aws-chunked body. */
  readonly trailers: ReadonlyMap<string, string>
  readonly body: Buffer
  readonly region: string
  readonly at: EpochMs
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** What a call needs before it may run: one entry per action that policies must allow. */
export interface Permission {
  /** Such as `ssm:GetParameter`. */
  readonly action: string
  /** ARN, or `*`. */
  readonly resource: string
  /** Values of service-specific condition keys. */
  readonly context?: Readonly<Record<string, string>>
}

/** A call understood: its name, what it needs, and how to do it. */
export interface Operation {
  readonly name: string
  readonly permissions: readonly Permission[]
  run(caller: Principal): Answer | Promise<Answer>
}

/** One emulated service. */
export interface Service {
  /** Names the operation of a call, without side effects. @throws AwsError when it is none of this service's */
  plan(call: Call): Operation
}

/** The one value of a query parameter. */
export function parameter(query: Call['query'], name: string): string | undefined {
  return query.get(name)?.[0]
}
