const prefix = 'system:serviceaccount:'

/** The user name of a service account. */
export function serviceAccountName(namespace: string, name: string): string {
  return `${prefix}${namespace}:${name}`
}

/** The service account that a user name is of; undefined for anyone else. */
export function serviceAccountOf(user: string): { namespace: string; name: string } | undefined {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? []
  return namespace !== undefined && name !== undefined ? { namespace, name } : undefined
}

/** The groups of a service account, beside those of everyone. */
export function serviceAccountGroups(namespace: string): string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
}
