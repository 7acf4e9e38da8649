import { decodeFields, encodeFields, noFields, sameFields, union, type FieldsV1 } from './field-set.ts'
import { isSameManager, type Manager } from './updater.ts'

/** One entry of `metadata.managedFields`. */
export interface ManagedFieldsEntry {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly time?: string
  readonly fieldsType: 'FieldsV1'
  readonly fieldsV1: FieldsV1
  readonly subresource?: string
}

// The bound of Kubernetes; who wrote longest ago is counted among `ancient-changes` beyond it.
const maxUpdaters = 10
const ancient = 'ancient-changes'

/** Managers as an object's metadata has them: those that apply first, then by time and name. */
export function encodeManagers(managers: readonly Manager[], apiVersion: string): ManagedFieldsEntry[] {
  return bounded(managers)
    .toSorted(byOperationAndTime)
    .map(({ name, operation, time, fields, subresource }) => ({
      manager: name,
      operation,
      apiVersion,
      ...(time !== undefined && { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: encodeFields(fields),
      ...(subresource !== undefined && { subresource }),
    }))
}

function byOperationAndTime(a: Manager, b: Manager): number {
  const keys = ({ operation, time = '', name, subresource = '' }: Manager) => [
    operation,
    time,
    name,
    subresource,
  ]
  const [left, right] = [keys(a), keys(b)]
  const differing = left.findIndex((key, index) => key !== right[index])
  if (differing === -1) return 0
  return left[differing]! < right[differing]! ? -1 : 1
}

function bounded(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers.filter(({ operation }) => operation === 'Update').toSorted(byOperationAndTime)
  if (updaters.length <= maxUpdaters) return managers
  const named = updaters.filter(({ name }) => name !== ancient)
  const oldest = named.slice(0, named.length - maxUpdaters + 1)
  const earlier = updaters.filter(({ name }) => name === ancient)
  const merged = [...earlier, ...oldest].map(({ fields }) => fields).reduce(union, noFields)
  const time = oldest.at(-1)?.time
  const bucket: Manager = { name: ancient, operation: 'Update', fields: merged, time }
  return [...managers.filter((manager) => !oldest.includes(manager) && !earlier.includes(manager)), bucket]
}

/** The managers of an object's metadata. @returns undefined when an entry is not in order */
export function decodeManagers(entries: readonly unknown[] = []): readonly Manager[] | undefined {
  const managers = entries.map(decodeEntry)
  return managers.every((manager) => manager !== undefined) ? managers : undefined
}

function decodeEntry(entry: unknown): Manager | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined
  const { manager, operation, time, fieldsType, fieldsV1, subresource } = entry as Partial<ManagedFieldsEntry>
  const fields = decodeFields(fieldsV1)
  if (typeof manager !== 'string' || (operation !== 'Apply' && operation !== 'Update')) return undefined
  if (fieldsType !== 'FieldsV1' || !fields) return undefined
  return {
    name: manager,
    operation,
    fields,
    ...(typeof time === 'string' && { time }),
    ...(typeof subresource === 'string' && subresource !== '' && { subresource }),
  }
}

/** Whether the same managers own the same fields, whenever they got them. */
export function sameManagers(a: readonly Manager[], b: readonly Manager[]): boolean {
  return (
    a.length === b.length &&
    a.every((one) => b.some((other) => isSameManager(one, other) && sameFields(one.fields, other.fields)))
  )
}
