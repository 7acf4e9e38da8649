import type { Clock } from '#base/clock'
import { isFault } from '#base/errors'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import {
  defaultNamespace,
  nextStatus,
  oidcTrustOf,
  unsupportedFields,
  type IdentityProvider,
  type OIDCClient,
} from '#model/resource'
import type { ResourceCache, Resources } from '#server/store'
import type { IdTokens } from './id-tokens.ts'

const recheckMs = 60_000

interface Verdict {
  readonly state: 'AVAILABLE' | 'FAILED'
  readonly reason: string
  readonly message: string
}

/** Keeps the states of IdentityProviders and OIDCClients true: asks each provider now and then. */
export function openProviderStatus({
  idTokens,
  cache,
  resources,
  clock,
  log,
}: {
  idTokens: IdTokens
  cache: Pick<ResourceCache, 'get' | 'list' | 'onChange'>
  resources: Pick<Resources, 'updateStatus'>
  clock: Clock
  log: Log
}): { run(options: { signal: AbortSignal }): Promise<void> } {
  async function judgeProvider(object: IdentityProvider): Promise<Verdict> {
    const unsupported = unsupportedFields(object)
    if (unsupported.length > 0) {
      const message = `accepted but not acted on yet: ${unsupported.join(', ')}`
      return { state: 'FAILED', reason: 'NotImplemented', message }
    }
    const provider = idTokens.providers().find((item) => item.object.metadata.uid === object.metadata.uid)
    if (!provider) return { state: 'FAILED', reason: 'NotRead', message: 'it is not acted on' }
    const { issuer, usernamePrefix } = provider.trust
    try {
      await provider.verifier.probe()
      const message = `ID tokens of ${issuer} are accepted; user names begin with ${JSON.stringify(usernamePrefix)}`
      return { state: 'AVAILABLE', reason: 'Discovered', message }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const message = `the documents of ${issuer} cannot be used: ${why}; its users cannot log in until they can`
      return { state: 'FAILED', reason: 'DiscoveryFailed', message }
    }
  }

  function judgeClient({ spec }: OIDCClient): Verdict {
    const provider = cache.get('IdentityProvider', defaultNamespace, spec.identityProvider!)
    const trust = provider && oidcTrustOf(provider)
    if (!trust) {
      const message = `there is no IdentityProvider ${spec.identityProvider} that is acted on: create it`
      return { state: 'FAILED', reason: 'NoProvider', message }
    }
    if (!trust.audiences.includes(spec.clientID!)) {
      const message = `IdentityProvider ${spec.identityProvider} does not accept ${spec.clientID}: add it to spec.oidc.audiences`
      return { state: 'FAILED', reason: 'AudienceMissing', message }
    }
    return { state: 'AVAILABLE', reason: 'Valid', message: `people log in at ${trust.issuer}` }
  }

  async function write(
    object: IdentityProvider | OIDCClient,
    { state, reason, message }: Verdict,
  ): Promise<void> {
    const { kind, metadata } = object
    const status = state === 'AVAILABLE' ? 'True' : 'False'
    const conditions = [{ type: 'Available', status, reason, message }] as const
    const at = clock.now()
    try {
      await resources.updateStatus(kind, metadata.namespace, metadata.name, (current) =>
        nextStatus(current, { state, message, conditions }, at),
      )
    } catch (error) {
      if (!isFault(error, 'RESOURCE_NOT_FOUND')) log.warn('access.status-not-written', { kind, error })
    }
  }

  return {
    async run({ signal }) {
      const changes = openBell()
      using subscription = new DisposableStack()
      subscription.defer(
        cache.onChange((events) => {
          const own = events.some(({ type, object, previous }) => {
            if (object.kind !== 'IdentityProvider' && object.kind !== 'OIDCClient') return false
            // What is written here itself changes no specification.
            return type !== 'MODIFIED' || object.metadata.generation !== previous?.metadata.generation
          })
          if (own) changes.ring()
        }),
      )
      while (!signal.aborted) {
        const { rings } = changes
        const providers = cache.list('IdentityProvider', defaultNamespace)
        await Promise.all(providers.map(async (object) => write(object, await judgeProvider(object))))
        for (const object of cache.list('OIDCClient', defaultNamespace))
          await write(object, judgeClient(object))
        await afterAtMost(changes, rings, { ms: recheckMs, clock, signal })
      }
    },
  }
}
