import type { CredentialBinding, Service } from '#model/resource'

// The ports of HTTP without TLS; an address without a port stands for 443 and 80.
const plainPorts: ReadonlySet<number | undefined> = new Set([undefined, 80, 8080])

/** The first address of an external Service at which a request may leave without TLS. */
function plainAddress({ spec }: Service): string | undefined {
  // A Service with CAs of its own is meant for TLS, and never signed without.
  if (spec.external !== true || spec.caBundle !== undefined) return undefined
  const index = (spec.addresses ?? []).findIndex(({ port }) => plainPorts.has(port))
  return index === -1 ? undefined : `spec.addresses[${index}]`
}

/**
 * What a binding would do with a Service that it selects, when its credential could leave without TLS and nothing says
 * why that is safe; undefined when all is well.
 * SECURITY: whoever is on the way would read the credential, and use it until it expires.
 */
export function plainTextDanger(binding: CredentialBinding, service: Service): string | undefined {
  const field = binding.spec.plainTextReason === undefined ? plainAddress(service) : undefined
  if (field === undefined) return undefined
  return (
    `would send its credential without TLS to ${field} of the external Service ${service.metadata.name}: ` +
    `give it port 443, or say why this is safe in spec.plainTextReason of the binding`
  )
}
