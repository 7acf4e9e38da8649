import { awsChunkedTarget } from './aws-chunked.ts'
import { clientHelloTarget } from './client-hello.ts'
import { eventStreamTarget } from './event-stream.ts'
import { requestHeadTarget, responseHeadTarget } from './http-heads.ts'
import { chunkedBodyTarget, requestStreamTarget } from './http-stream.ts'
import type { Target } from './target.ts'

/** Every parser of `src/wire` that meets untrusted bytes. */
export const targets: readonly Target[] = [
  awsChunkedTarget,
  clientHelloTarget,
  eventStreamTarget,
  requestHeadTarget,
  responseHeadTarget,
  chunkedBodyTarget,
  requestStreamTarget,
]
