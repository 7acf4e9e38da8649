/**
 * Rewrites a request body while it streams, where its signature goes along with it. It sees the payload alone:
 * chunks of HTTP/1.1 and frames of HTTP/2 are the caller's, on both sides. Serves one body.
 */
export interface BodyTransformer {
  /** What is sent has the length of what came. */
  readonly keepsLength: boolean
  /**
   * What can be sent now that `payload` has come, in order; `payload` is handed over and may be kept.
   * @throws Fault WIRE_MALFORMED, WIRE_TOO_LARGE, BUFFERS_EXHAUSTED: nothing more may be sent
   */
  write(payload: Buffer): readonly Buffer[]
  /** What remains to be sent when the body has ended. @throws Fault WIRE_MALFORMED when it ended too early */
  end(): readonly Buffer[]
  /** Lets go of what it holds: to be called once, however the body ended. */
  close(): void
}
