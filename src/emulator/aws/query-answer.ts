import { randomUUID } from 'node:crypto'
import type { Answer } from './call.ts'
import { xmlNamespaces } from './protocol.ts'
import { xmlDocument, type XmlValue } from './xml.ts'

/** The answer of a call of the Query protocol. */
export function queryAnswer(service: 'sts' | 'iam', action: string, result: XmlValue): Answer {
  const RequestId = randomUUID()
  return {
    status: 200,
    headers: { 'content-type': 'text/xml', 'x-amzn-requestid': RequestId },
    body: xmlDocument(`${action}Response`, xmlNamespaces[service], {
      ...(result === undefined ? {} : { [`${action}Result`]: result }),
      ResponseMetadata: { RequestId },
    }),
  }
}
