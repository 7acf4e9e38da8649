import { isDeepStrictEqual } from 'node:util'
import { isFault } from '#base/errors'
import { builtInBindings, builtInRoles, rbacGroup, type Binding, type PolicyRule } from '#model/access'
import type { ClusterRole, ClusterRoleBinding, Draft } from '#model/resource'
import type { Resources } from '#server/store'

const apiVersion = `${rbacGroup}/v1`
const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' }
/** As in Kubernetes: set to "false", the object stays as somebody wrote it. */
const autoUpdate = 'rbac.authorization.kubernetes.io/autoupdate'

function roleDraft(name: string, description: string, rules: readonly PolicyRule[]): Draft<ClusterRole> {
  const annotations = { [autoUpdate]: 'true', 'tideway.io/description': description }
  return {
    apiVersion,
    kind: 'ClusterRole',
    metadata: { name, labels, annotations },
    rules: structuredClone(rules) as never,
  }
}

function bindingDraft(name: string, { roleRef, subjects }: Binding): Draft<ClusterRoleBinding> {
  const annotations = { [autoUpdate]: 'true' }
  return {
    apiVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name, labels, annotations },
    roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name: roleRef.name },
    subjects: subjects.map((subject) => ({ apiGroup: rbacGroup, ...subject })) as never,
  }
}

/** Makes the roles and bindings that every server has, and brings them up to date. */
export async function ensureBuiltInAccess(resources: Resources): Promise<void> {
  const drafts = [
    ...Object.entries(builtInRoles).map(([name, { description, rules }]) =>
      roleDraft(name, description, rules),
    ),
    ...Object.entries(builtInBindings).map(([name, binding]) => bindingDraft(name, binding)),
  ]
  for (const draft of drafts) {
    const present = await resources.get(draft.kind, '', draft.metadata.name)
    if (!present) {
      await resources.create(draft).catch((error: unknown) => {
        // Another server was faster.
        if (!isFault(error, 'RESOURCE_EXISTS')) throw error
      })
    } else if (present.metadata.annotations?.[autoUpdate] !== 'false' && !sameContent(present, draft)) {
      await resources.update(draft)
    }
  }
}

function sameContent(
  present: ClusterRole | ClusterRoleBinding,
  draft: Draft<ClusterRole | ClusterRoleBinding>,
): boolean {
  const { metadata: _, ...before } = present
  const { metadata: __, ...after } = draft
  return isDeepStrictEqual(before, after)
}
