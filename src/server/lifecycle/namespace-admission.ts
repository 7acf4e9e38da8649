import { Fault } from '#base/errors'
import { defaultNamespace } from '#model/resource'
import type { Admission } from '#server/store'
import { eventNamespace } from './event-recorder.ts'

const immortal: ReadonlySet<string> = new Set([defaultNamespace, eventNamespace])

/**
 * Refuses to delete the namespaces that the server itself uses, whoever asks: with what lies there everybody's
 * workloads and logins would go, and nothing could be written there meanwhile.
 */
export const namespaceAdmission: Admission = ({ operation, object: { kind, metadata } }) => {
  if (operation !== 'delete' || kind !== 'Namespace' || !immortal.has(metadata.name)) return []
  const message = `namespaces ${JSON.stringify(metadata.name)} is forbidden: this namespace may not be deleted`
  throw new Fault('API_FORBIDDEN', message, { publicText: message })
}
