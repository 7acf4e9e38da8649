const prefix = 'system:serviceaccount:'

/** The user name of a service account. */
export function serviceAccountName(namespace: string, name: string): string {
  return `${prefix}${namespace}:${name}`
}

/** The groups of a service account, beside those of everyone. */
export function serviceAccountGroups(namespace: string): string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
}
