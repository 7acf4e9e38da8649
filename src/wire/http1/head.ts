/** One header field as it came. */
export interface Header {
  /** Lower-case. */
  readonly name: string
  /** In the sender's case. */
  readonly rawName: string
  /** One character per byte (latin1), without the optional white space around it. */
  readonly value: string
}

/** How far a body reaches (RFC 9112 section 6.3). `until-close` occurs in responses only. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' }

export type HttpVersion = '1.0' | '1.1'

/** RFC 9112 section 3.2. */
export type TargetForm = 'origin' | 'absolute' | 'authority' | 'asterisk'

export interface RequestHead {
  readonly method: string
  /** Exactly as sent. */
  readonly target: string
  readonly form: TargetForm
  readonly version: HttpVersion
  readonly headers: readonly Header[]
  /** The one Host value, lower-case, with its port if it has one. Undefined only in HTTP/1.0. */
  readonly host: string | undefined
  readonly framing: Framing
  /** Whether the sender wants the connection to stay open. */
  readonly keepAlive: boolean
  /** The sender waits for `100 Continue` before it sends the body. */
  readonly expectContinue: boolean
  /** The sender asks to switch protocols; `upgradeProtocols` names to which. */
  readonly upgrade: boolean
  /** Lower-case names of the Upgrade field, such as `websocket` or `h2c`. */
  readonly upgradeProtocols: readonly string[]
  /** Lower-case options of the Connection field: these and the headers they name end at this hop. */
  readonly connection: readonly string[]
}

export interface ResponseHead {
  readonly status: number
  readonly reason: string
  readonly version: HttpVersion
  readonly headers: readonly Header[]
  readonly framing: Framing
  /** Whether the connection can carry another request after this response. */
  readonly keepAlive: boolean
  /** Lower-case options of the Connection field. */
  readonly connection: readonly string[]
}

export interface HeadLimits {
  /** Bytes of a head, its closing empty line included. */
  readonly maxBytes: number
  readonly maxHeaders: number
}

export const defaultHeadLimits: HeadLimits = Object.freeze({ maxBytes: 64 * 1024, maxHeaders: 128 })

/** `status` is what to answer the sender of a request; for a response it is 502. */
export interface Refused {
  readonly kind: 'refused'
  readonly status: number
  readonly reason: string
}

/** `length` is the number of bytes that the head takes from the buffer. */
export type ParsedRequest =
  | { readonly kind: 'incomplete' }
  | Refused
  | { readonly kind: 'head'; readonly head: RequestHead; readonly length: number }

export type ParsedResponse =
  | { readonly kind: 'incomplete' }
  | Refused
  | { readonly kind: 'head'; readonly head: ResponseHead; readonly length: number }

export const incomplete = Object.freeze({ kind: 'incomplete' } as const)

export function refused(status: number, reason: string): Refused {
  return { kind: 'refused', status, reason }
}
