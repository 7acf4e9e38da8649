import type { KeyObject } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import type { AccessRequest, Impersonation, User } from '#model/access'

/** Who makes a request, and how that is known. */
export interface Principal extends User {
  /** `bootstrap`, `service-account`, or `oidc:` or `github:` and the name of the IdentityProvider. */
  readonly provider: string
  /** When what it was known by expires. */
  readonly expiresAt?: EpochMs
  /** Who makes the request in truth, when it is made as somebody else. */
  readonly impersonator?: Principal
}

/** What a request says of who makes it. */
export interface Credentials {
  /** The `Authorization` header. */
  readonly authorization: string | undefined
  readonly impersonation?: Impersonation | undefined
}

/** One way to know who a bearer token belongs to. */
export interface Authenticator {
  /**
   * `undefined`: not a token of this kind. @throws Fault TOKEN_INVALID for one that is, and is not accepted
   */
  authenticate(token: string): Promise<Principal | undefined>
}

/** The keys of service accounts' tokens. */
export interface AccountKeys {
  /** The one that signs now. */
  active(): Promise<{ readonly kid: string; readonly privateKey: KeyObject }>
  /** The public half of one whose tokens may still hold. */
  publicKey(kid: string): KeyObject | undefined
}

/** A permission for as long as it lasts. */
export interface Hold extends Disposable {
  /** Aborts when the right or the token behind it is gone. */
  readonly signal: AbortSignal
}

/** Who may do what, at this moment. */
export interface Access {
  /** Who an `Authorization` header speaks for; undefined for anyone we do not know. */
  authenticate(authorization: string | undefined): Promise<Principal | undefined>
  /** Somebody as whom he wants to make a request. @throws Fault API_FORBIDDEN */
  impersonate(principal: Principal, wish: Impersonation): Principal
  allows(user: User, request: AccessRequest): boolean
  /** For answers that go on: looked at again whenever rights change, and once a minute. */
  hold(credentials: Credentials, request: AccessRequest): Hold
}
