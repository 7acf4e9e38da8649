/** How people log in at a server: what a login page would tell anyone who looks at it. */
export interface LoginClient {
  /** Name of the OIDCClient. */
  readonly name: string
  /** Name that people know the provider by. */
  readonly provider: string
  readonly issuer: string
  readonly clientID: string
  readonly scopes: readonly string[]
  /** PEM of the CAs of the issuer, beside the public ones. */
  readonly caBundle?: string
  /** The server is the issuer itself: its CA is the issuer's. */
  readonly ownIssuer?: boolean
}
