import { awsChunkedTarget } from './aws-chunked.ts'
import { certificateRequestTarget } from './certificate-request.ts'
import { clientHelloTarget } from './client-hello.ts'
import { eventStreamTarget } from './event-stream.ts'
import { requestHeadTarget, responseHeadTarget } from './http-heads.ts'
import { chunkedBodyTarget, requestStreamTarget } from './http-stream.ts'
import type { Target } from './target.ts'

/** Every parser of ours that meets untrusted bytes: those of `src/wire`, and of certificate requests. */
export const targets: readonly Target[] = [
  awsChunkedTarget,
  certificateRequestTarget,
  clientHelloTarget,
  eventStreamTarget,
  requestHeadTarget,
  responseHeadTarget,
  chunkedBodyTarget,
  requestStreamTarget,
]
