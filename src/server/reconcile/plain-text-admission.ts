import { Fault } from '#base/errors'
import {
  definitionOf,
  normalizeSelectors,
  subjectOf,
  type CredentialBinding,
  type Service,
} from '#model/resource'
import type { Admission, ResourceCache } from '#server/store'
import { plainTextDanger } from './plain-text.ts'
import { selects } from './surroundings.ts'

/**
 * Refuses a binding to an external host without TLS, whichever of binding and Service is written last. Two that are
 * written at the same moment pass: the plan keeps such a binding out of force.
 */
export function plainTextAdmission(cacheOf: () => Pick<ResourceCache, 'list'>): Admission {
  return ({ operation, object, previous }) => {
    // A status can be written whatever the specification is, and a finalizer be removed.
    if (operation === 'delete' || object.metadata.generation === previous?.metadata.generation) return []
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
  const danger = isSelected(service, binding) ? plainTextDanger(binding, service) : undefined
  if (danger === undefined) return
  const subject = subjectOf(definitionOf(written.kind), written.metadata.name)
  const message = `${subject} is forbidden: CredentialBinding ${binding.metadata.name} ${danger}`
  throw new Fault('API_FORBIDDEN', message, { publicText: message })
}
