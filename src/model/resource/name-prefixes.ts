import { oidcTrustOf, type IdentityProvider } from './identity-provider.ts'

export interface NamePrefixes {
  readonly usernamePrefix: string
  readonly groupsPrefix: string
}

/** What the names of a provider's users and groups begin with; undefined for those that are not acted on. */
export function namePrefixesOf(object: IdentityProvider): NamePrefixes | undefined {
  const prefix = `${object.metadata.name}:`
  if (object.spec.github) return { usernamePrefix: prefix, groupsPrefix: prefix }
  return oidcTrustOf(object)
}

/** Another provider whose users this one could name, or the other way round. */
export interface Namesake {
  readonly other: IdentityProvider
  /** By which prefix. */
  readonly by: keyof NamePrefixes
  /** What is the matter, and what to do. */
  readonly message: string
}

/**
 * The namesakes of a provider, of which one has a prefix that begins with that of the other.
 * SECURITY: who chooses his name at one of them could pass for a user of the other.
 */
export function namesakesOf(object: IdentityProvider, providers: readonly IdentityProvider[]): Namesake[] {
  const own = namePrefixesOf(object)
  if (!own) return []
  return providers.flatMap((other) => {
    const theirs = namePrefixesOf(other)
    // One that is being deleted names nobody.
    if (!theirs || isSame(object, other) || other.metadata.deletionTimestamp !== undefined) return []
    const by = (['usernamePrefix', 'groupsPrefix'] as const).find(
      (field) => own[field].startsWith(theirs[field]) || theirs[field].startsWith(own[field]),
    )
    if (by === undefined) return []
    const message =
      `IdentityProvider ${other.metadata.name} has the ${by} ${JSON.stringify(theirs[by])}, and this one ` +
      `${JSON.stringify(own[by])}: users of one could pass for users of the other; let neither begin with the other ` +
      `(spec.oidc.${by}, or the name of the provider where there is none)`
    return [{ other, by, message }]
  })
}

/** The namesake that keeps its names, while this provider is not acted on; undefined for the oldest. */
export function olderNamesakeOf(
  object: IdentityProvider,
  providers: readonly IdentityProvider[],
): Namesake | undefined {
  return namesakesOf(object, providers).find(({ other }) => ageOf(other) < ageOf(object))
}

const isSame = (a: IdentityProvider, b: IdentityProvider) =>
  a.metadata.namespace === b.metadata.namespace && a.metadata.name === b.metadata.name

/** Oldest first; the name decides between objects of the same second, so that every server agrees. */
const ageOf = ({ metadata }: IdentityProvider) => `${metadata.creationTimestamp} ${metadata.name}`
