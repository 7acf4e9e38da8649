import { Fault } from '#base/errors'
import {
  definitionOf,
  normalizeSelectors,
  subjectOf,
  type CredentialBinding,
  type Service,
} from '#model/resource'
import type { Admission, ResourceCache } from '#server/store'
import { selects } from './surroundings.ts'

// The ports of HTTP without TLS; an address without a port stands for 443 and 80.
const plainPorts: ReadonlySet<number | undefined> = new Set([undefined, 80, 8080])

/** The first address of an external Service at which a request may leave without TLS. */
function plainAddress({ spec }: Service): string | undefined {
  // A Service with CAs of its own is meant for TLS, and never signed without.
  if (spec.external !== true || spec.caBundle !== undefined) return undefined
  const index = (spec.addresses ?? []).findIndex(({ port }) => plainPorts.has(port))
  return index === -1 ? undefined : `spec.addresses[${index}]`
}

function refuse(
  binding: CredentialBinding,
  service: Service,
  field: string,
  written: CredentialBinding | Service,
): never {
  const subject = subjectOf(definitionOf(written.kind), written.metadata.name)
  const message =
    `${subject} is forbidden: CredentialBinding ${binding.metadata.name} would send its credential without TLS to ` +
    `${field} of the external Service ${service.metadata.name}: give it port 443, or say why this is safe in ` +
    `spec.plainTextReason of the binding`
  throw new Fault('API_FORBIDDEN', message, { publicText: message })
}

/**
 * Refuses a binding to an external host without TLS, whichever of binding and Service is written last.
 * SECURITY: whoever is on the way would read the credential, and use it until it expires.
 */
export function plainTextAdmission(cacheOf: () => Pick<ResourceCache, 'list'>): Admission {
  return ({ operation, object }) => {
    if (operation === 'delete') return []
    if (object.kind === 'CredentialBinding') {
      for (const service of cacheOf().list('Service', object.metadata.namespace))
        judge(object, service, object)
    }
    if (object.kind === 'Service') {
      const bindings = cacheOf().list('CredentialBinding', object.metadata.namespace)
      for (const binding of bindings) judge(binding, object, object)
    }
    return []
  }
}

function isSelected(service: Service, { spec }: CredentialBinding): boolean {
  return normalizeSelectors(spec.propagation.injection?.selectors ?? []).some((selector) =>
    selects(selector, service),
  )
}

function judge(binding: CredentialBinding, service: Service, written: CredentialBinding | Service): void {
  if (binding.spec.plainTextReason !== undefined || !isSelected(service, binding)) return
  const field = plainAddress(service)
  if (field !== undefined) refuse(binding, service, field, written)
}
