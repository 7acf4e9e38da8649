import { backoffMs, type Clock } from '#base/clock'
import { isFault, isUntrusted } from '#base/errors'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import {
  defaultNamespace,
  githubLoginOf,
  isAsJudged,
  nextStatus,
  oidcTrustOf,
  olderNamesakeOf,
  unsupportedFields,
  type GitHubLogin,
  type IdentityProvider,
  type OIDCClient,
  type Reason,
  type Secret,
} from '#model/resource'
import { isBeingDeleted, type ResourceCache, type Resources } from '#server/store'
import type { Logins } from '#server/login'
import type { IdTokens } from './id-tokens.ts'

const recheckMs = 60_000
const retry = { baseMs: 1_000, maxMs: 5_000 }

interface Verdict {
  readonly state: 'AVAILABLE' | 'FAILED'
  readonly reason: Reason
  readonly message: string
}

/** What serves in place of a kind of provider that is not acted on. */
const insteadOf = ({ spec }: IdentityProvider): string =>
  spec.static
    ? 'give a ServiceAccount a token for development, or use an IdentityProvider of spec.oidc'
    : 'use spec.oidc with an OpenID provider that logs them in (Keycloak and Dex do so by Bitbucket), or spec.github'

/** What is at the bottom of an error: libraries wrap what the network said in words that say less. */
function rootOf(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error))
  return error.cause instanceof Error ? rootOf(error.cause) : error
}

const elsewhere: Verdict = {
  state: 'FAILED',
  reason: 'NotRead',
  message: `it is not acted on in this namespace: create it in ${defaultNamespace}, and delete this one`,
}

/** Keeps the states of IdentityProviders and OIDCClients true: asks each provider now and then. */
export function openProviderStatus({
  idTokens,
  logins,
  cache,
  resources,
  clock,
  log,
}: {
  idTokens: IdTokens
  logins: Pick<Logins, 'placesOf'>
  cache: Pick<ResourceCache, 'get' | 'list' | 'onChange'>
  resources: Pick<Resources, 'updateStatus' | 'secretData'>
  clock: Clock
  log: Log
}): { run(options: { signal: AbortSignal }): Promise<void> } {
  const olderNamesake = (object: IdentityProvider) =>
    olderNamesakeOf(object, cache.list('IdentityProvider', defaultNamespace))

  async function judgeProvider(object: IdentityProvider): Promise<Verdict> {
    if (object.metadata.namespace !== defaultNamespace) return elsewhere
    const unsupported = unsupportedFields(object)
    if (unsupported.length > 0) {
      const message = `nobody can log in by ${unsupported.join(', ')} yet: ${insteadOf(object)}`
      return { state: 'FAILED', reason: 'NotImplemented', message }
    }
    const older = olderNamesake(object)
    if (older) {
      const message = `nobody can log in by it, for there is an older one: ${older.message}`
      return { state: 'FAILED', reason: 'PrefixTaken', message }
    }
    if (object.spec.github) return judgeGitHub(object, object.spec.github)
    const provider = idTokens.providers().find((item) => item.object.metadata.uid === object.metadata.uid)
    if (!provider) return elsewhere
    const { issuer, usernamePrefix } = provider.trust
    try {
      await provider.verifier.probe()
      const message = `ID tokens of ${issuer} are accepted; user names begin with ${JSON.stringify(usernamePrefix)}`
      return { state: 'AVAILABLE', reason: 'Discovered', message }
    } catch (error) {
      const root = rootOf(error)
      const why = isUntrusted(root)
        ? 'its certificate is signed by nobody whom this server trusts: give the CA as spec.oidc.caBundle'
        : root.message
      const message =
        `the documents of ${issuer} cannot be used (${why}): check spec, and whether this server can reach it; ` +
        'its users can log in only for as long as its keys are remembered, ten minutes'
      return { state: 'FAILED', reason: 'DiscoveryFailed', message }
    }
  }

  async function hasSecret({ clientSecretRef: { name, key } }: Pick<GitHubLogin, 'clientSecretRef'>) {
    return (await resources.secretData(defaultNamespace, name))?.get(key) !== undefined
  }

  async function judgeGitHub(
    { metadata }: IdentityProvider,
    { clientSecretRef, requiredOrgs }: NonNullable<IdentityProvider['spec']['github']>,
  ): Promise<Verdict> {
    if (!clientSecretRef) {
      const message =
        'nobody can log in without the client secret: put it into a Secret, and its name and key into spec.github.clientSecretRef'
      return { state: 'FAILED', reason: 'SecretMissing', message }
    }
    const { name, key } = clientSecretRef
    if (!(await hasSecret({ clientSecretRef }))) {
      const message = `nobody can log in without the client secret: Secret ${defaultNamespace}/${name} has no key ${key}; create it`
      return { state: 'FAILED', reason: 'SecretMissing', message }
    }
    const orgs = requiredOrgs.map((org) => org.name).join(', ')
    const message =
      `members of ${orgs} log in, and have names that begin with "${metadata.name}:"; the OAuth app must have the ` +
      `authorization callback URL ${logins.placesOf(metadata.name).callback}`
    return { state: 'AVAILABLE', reason: 'Configured', message }
  }

  async function judgeClient({ metadata, spec }: OIDCClient): Promise<Verdict> {
    if (metadata.namespace !== defaultNamespace) return elsewhere
    const named = cache.get('IdentityProvider', defaultNamespace, spec.identityProvider!)
    const provider = named && !isBeingDeleted(named) && !olderNamesake(named) ? named : undefined
    const trust = provider && oidcTrustOf(provider)
    const github = provider && githubLoginOf(provider)
    if (github && (await hasSecret(github))) {
      const { issuer } = logins.placesOf(provider.metadata.name)
      return { state: 'AVAILABLE', reason: 'Valid', message: `people log in at ${issuer}` }
    }
    if (!trust) {
      const message = `there is no IdentityProvider ${spec.identityProvider} that is acted on: create it, see what its state says, or correct spec.identityProvider`
      return { state: 'FAILED', reason: 'NoProvider', message }
    }
    if (!trust.audiences.includes(spec.clientID!)) {
      const message = `IdentityProvider ${spec.identityProvider} does not accept ${spec.clientID}: add it to spec.oidc.audiences`
      return { state: 'FAILED', reason: 'AudienceMissing', message }
    }
    return { state: 'AVAILABLE', reason: 'Valid', message: `people log in at ${trust.issuer}` }
  }

  /** Brings the state of an object to what is found; false when that is worth another look soon. */
  async function settle<O extends IdentityProvider | OIDCClient>(
    object: O,
    judge: (object: O) => Verdict | Promise<Verdict>,
  ): Promise<boolean> {
    const { kind, metadata } = object
    try {
      const { state, reason, message } = await judge(object)
      const status = state === 'AVAILABLE' ? 'True' : 'False'
      const conditions = [{ type: 'Available', status, reason, message }] as const
      const at = clock.now()
      await resources.updateStatus(kind, metadata.namespace, metadata.name, (current) =>
        isAsJudged(current, object)
          ? nextStatus(current, { state, message, conditions }, at)
          : current.status!,
      )
      return reason !== 'DiscoveryFailed'
    } catch (error) {
      if (isFault(error, 'RESOURCE_NOT_FOUND')) return true
      log.warn('access.status-not-written', { kind, error })
      return false
    }
  }

  const isNeeded = ({ metadata }: Secret) =>
    metadata.namespace === defaultNamespace &&
    cache
      .list('IdentityProvider', defaultNamespace)
      .some(({ spec }) => spec.github?.clientSecretRef?.name === metadata.name)

  return {
    async run({ signal }) {
      const changes = openBell()
      using subscription = new DisposableStack()
      subscription.defer(
        cache.onChange((events) => {
          const own = events.some(({ type, object, previous }) => {
            if (object.kind === 'Secret') return isNeeded(object)
            if (object.kind !== 'IdentityProvider' && object.kind !== 'OIDCClient') return false
            // What is written here itself changes no specification; another of the same name is told as a change, too.
            return type !== 'MODIFIED' || !previous || !isAsJudged(object, previous)
          })
          if (own) changes.ring()
        }),
      )
      subscription.defer(idTokens.onUnreachable(() => changes.ring()))
      async function keep(object: IdentityProvider | OIDCClient, stop: AbortSignal): Promise<void> {
        for (let failures = 0; !stop.aborted;) {
          const { rings } = changes
          const settled =
            object.kind === 'OIDCClient' ? settle(object, judgeClient) : settle(object, judgeProvider)
          failures = (await settled) ? 0 : failures + 1
          const ms = failures === 0 ? recheckMs : backoffMs(failures - 1, { ...retry, random: Math.random })
          await afterAtMost(changes, rings, { ms, clock, signal: stop })
        }
      }

      /** By object and generation: one that is slow to answer keeps no other waiting, nor what has become of it. */
      const kept = new Map<string, AbortController>()
      const keeping = new Set<Promise<void>>()
      while (!signal.aborted) {
        const { rings } = changes
        // What is being deleted is acted on no more, which its deletion says already.
        const objects = [...cache.list('IdentityProvider'), ...cache.list('OIDCClient')].filter(
          (object) => !isBeingDeleted(object),
        )
        const present = new Map(
          objects.map((object) => [`${object.metadata.uid} ${object.metadata.generation}`, object]),
        )
        for (const [key, stop] of kept) {
          if (present.has(key)) continue
          stop.abort()
          kept.delete(key)
        }
        for (const [key, object] of present) {
          if (kept.has(key)) continue
          const stop = new AbortController()
          kept.set(key, stop)
          const done = keep(object, stop.signal).finally(() => keeping.delete(done))
          keeping.add(done)
        }
        await changes.after(rings, signal)
      }
      for (const stop of kept.values()) stop.abort()
      await Promise.all(keeping)
    },
  }
}
