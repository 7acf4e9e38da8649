import type { Conflict, Manager } from './updater.ts'

/** A manager as Kubernetes names it in a conflict. */
function managerText({ name, operation, subresource }: Manager, apiVersion: string): string {
  const place = subresource === undefined ? '' : ` with subresource ${JSON.stringify(subresource)}`
  const how = operation === 'Apply' ? '' : ` using ${apiVersion}`
  return `${JSON.stringify(name)}${place}${how}`
}

/** What Kubernetes says of conflicts: as a whole, and of each one with the path of its field. */
export function conflictTexts(
  conflicts: readonly Conflict[],
  apiVersion: string,
): { message: string; causes: readonly { field: string; message: string }[] } {
  const text = ({ manager }: Conflict) => managerText(manager, apiVersion)
  const causes = conflicts.map((conflict) => ({
    field: conflict.path,
    message: `conflict with ${text(conflict)}`,
  }))
  const [only] = conflicts
  if (only && conflicts.length === 1) {
    return { causes, message: `Apply failed with 1 conflict: conflict with ${text(only)}: ${only.path}` }
  }
  const lines = [...Map.groupBy(conflicts, text)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([manager, own]) => [`conflicts with ${manager}:`, ...own.map(({ path }) => `- ${path}`)])
  return { causes, message: `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}` }
}
