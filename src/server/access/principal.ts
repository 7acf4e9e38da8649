import { authenticatedGroup } from '#model/access'
import type { ChangeRecord } from '#model/audit'
import type { Principal } from './ports.ts'

/** Who did something, as the audit trail keeps it. */
export function auditedActor({
  name,
  impersonator,
  ...known
}: Principal): Pick<ChangeRecord, 'actor' | 'groups' | 'provider' | 'as'> {
  if (impersonator) return { ...auditedActor(impersonator), as: name }
  const { groups, provider } = known
  return { actor: name, groups: groups.filter((group) => group !== authenticatedGroup), provider }
}
