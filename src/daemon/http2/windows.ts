/**
 * What a peer may have in flight, in bytes. On one stream: what it can make us hold while the other side does not
 * read. On one connection: a bound on nothing but haste, as node:http2 opens it again for every byte that arrives.
 * The 64 KiB of RFC 9113 have both sides wait for each other after every few frames: uploads woke a worker twice as
 * often, and cost a third more.
 */
export const streamWindowBytes = 256 * 1024
export const connectionWindowBytes = 1024 * 1024
