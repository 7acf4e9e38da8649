/** Who wants to know which credentials, or exchanges of them, have changed. */
export interface CredentialChanges {
  /** `key` names the credential, as `credentialKey` of the scope does. */
  credential(key: string): void
}
