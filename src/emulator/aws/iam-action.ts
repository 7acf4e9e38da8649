import type { EpochMs } from '#base/clock'
import type { Account } from './account.ts'
import type { Parameters } from './query-parameters.ts'
import type { XmlValue } from './xml.ts'

/** One action of IAM: the ARN that policies see, and what it does; undefined when it answers no result. */
export interface IamAction {
  resource(account: Account, parameters: Parameters): string
  run(account: Account, parameters: Parameters, at: EpochMs): XmlValue
}

export type IamActions = Readonly<Record<string, IamAction>>
