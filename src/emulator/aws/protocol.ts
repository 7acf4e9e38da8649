import type { AwsError } from './aws-error.ts'
import type { Answer, ServiceName } from './call.ts'
import { xmlDocument } from './xml.ts'

/** The wire protocols among the services; each has its own codes and its own form of error. */
export type Protocol = 'query' | 's3' | 'json' | 'rest-json'

export const protocols: Readonly<Record<ServiceName, Protocol>> = {
  sts: 'query',
  iam: 'query',
  s3: 's3',
  ssm: 'json',
  'bedrock-runtime': 'rest-json',
  'bedrock-agent-runtime': 'rest-json',
}

export const xmlNamespaces = {
  sts: 'https://sts.amazonaws.com/doc/2011-06-15/',
  iam: 'https://iam.amazonaws.com/doc/2010-05-08/',
  s3: 'http://s3.amazonaws.com/doc/2006-03-01/',
} as const

/** Writes an error as the service's clients expect it. */
export function renderError(service: ServiceName, error: AwsError, requestId: string): Answer {
  return renderers[protocols[service]](error, requestId, service)
}

type Renderer = (error: AwsError, requestId: string, service: ServiceName) => Answer

const renderers: Readonly<Record<Protocol, Renderer>> = {
  query: ({ status, code, message }, requestId, service) => ({
    status,
    headers: { 'content-type': 'text/xml', 'x-amzn-requestid': requestId },
    body: xmlDocument('ErrorResponse', xmlNamespaces[service === 'iam' ? 'iam' : 'sts'], {
      Error: { Type: status < 500 ? 'Sender' : 'Receiver', Code: code, Message: message },
      RequestId: requestId,
    }),
  }),
  s3: ({ status, code, message, details }, requestId) => ({
    status,
    headers: { 'content-type': 'application/xml', 'x-amz-request-id': requestId },
    body: xmlDocument('Error', undefined, {
      Code: code,
      Message: message,
      ...details,
      RequestId: requestId,
    }),
  }),
  json: ({ status, code, message }, requestId) => ({
    status,
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': requestId },
    body: JSON.stringify({ __type: code, message }),
  }),
  'rest-json': ({ status, code, message }, requestId) => ({
    status,
    headers: {
      'content-type': 'application/json',
      'x-amzn-errortype': code,
      'x-amzn-requestid': requestId,
    },
    body: JSON.stringify({ message }),
  }),
}
