import { execFile } from 'node:child_process'
import type { X509Certificate } from 'node:crypto'
import { access, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Fault } from '#base/errors'
import { writeAtomically } from '#base/files'

const run = promisify(execFile)

/** How a distribution takes another root: a file in a folder, then a command that rebuilds its bundle. */
export interface StoreKind {
  readonly name: string
  readonly folder: string
  readonly rebuild: readonly [command: string, ...args: string[]]
}

const kinds: readonly StoreKind[] = [
  {
    name: 'Debian',
    folder: '/usr/local/share/ca-certificates',
    rebuild: ['update-ca-certificates'],
  },
  {
    name: 'Fedora and RHEL',
    folder: '/etc/pki/ca-trust/source/anchors',
    rebuild: ['update-ca-trust', 'extract'],
  },
]

const fileName = 'tideway-intercept-root.crt'

/** The store of this host. @throws Fault PLATFORM_UNSUPPORTED when it is of no kind we know */
export async function findStore(candidates: readonly StoreKind[] = kinds): Promise<StoreKind> {
  for (const kind of candidates) {
    const present = await access(kind.folder).then(
      () => true,
      () => false,
    )
    if (present) return kind
  }
  throw new Fault('PLATFORM_UNSUPPORTED', 'this host has no certificate store that we know how to change', {
    hint: 'use the variables that `tideway trust bundle` prints',
  })
}

async function rebuild({ rebuild: [command, ...args] }: StoreKind): Promise<void> {
  try {
    await run(command, args)
  } catch (error) {
    throw new Fault('PLATFORM_UNSUPPORTED', `${command} failed: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** Adds the intercept root to the host's store, in place of an earlier one; says where. Needs root. */
export async function installRoot(root: X509Certificate, store: StoreKind): Promise<string> {
  const path = `${store.folder}/${fileName}`
  await writeAtomically(path, root.toString(), 0o644)
  await rebuild(store)
  return path
}

/** Undoes `installRoot`; says whether there was anything to undo. */
export async function uninstallRoot(store: StoreKind): Promise<boolean> {
  const path = `${store.folder}/${fileName}`
  const present = await access(path).then(
    () => true,
    () => false,
  )
  if (!present) return false
  await rm(path)
  await rebuild(store)
  return true
}
