import type { TrustDomain } from '#model/identity'
import type { CredentialSource, Kind, ResourceOf, Service } from '#model/resource'

export type LabelSelector = Readonly<Record<string, readonly string[]>>

/** What the objects of a workload may refer to. */
export interface Surroundings {
  readonly trustDomain: TrustDomain
  readonly sourceNamed: (namespace: string, name: string) => CredentialSource | undefined
  /** Services of one namespace that any of the selectors means, by name. */
  readonly servicesFor: (namespace: string, selectors: readonly LabelSelector[]) => readonly Service[]
}

/** The objects, as a cache or a test gives them. */
export interface Objects {
  list<K extends Kind>(kind: K, namespace?: string): readonly ResourceOf<K>[]
}

export function selects(selector: LabelSelector, { spec }: Service): boolean {
  return Object.entries(selector).every(
    ([name, values]) => Object.hasOwn(spec.labels, name) && values.includes(spec.labels[name]!),
  )
}

export function byName(a: Service, b: Service): number {
  return a.metadata.name < b.metadata.name ? -1 : 1
}

/** Finds them by a look at all of a namespace: for a single workload, who plans many keeps indexes. */
export function searchFor(trustDomain: TrustDomain, objects: Objects): Surroundings {
  return {
    trustDomain,
    sourceNamed: (namespace, name) =>
      objects.list('CredentialSource', namespace).find(({ metadata }) => metadata.name === name),
    servicesFor: (namespace, selectors) =>
      objects
        .list('Service', namespace)
        .filter((service) => selectors.some((selector) => selects(selector, service)))
        .sort(byName),
  }
}
