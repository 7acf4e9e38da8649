import { join } from 'node:path'
import type { Clock } from '#base/clock'
import type { Log } from '#base/log'
import { openPostgresStore, openSqliteStore, type Store } from '#server/store'
import type { ServerSettings } from './settings.ts'

/** Where secrets come from that are in no setting: the environment names the places, and never holds the secrets. */
export interface SecretPlaces {
  /** `$CREDENTIALS_DIRECTORY` as systemd sets it. */
  readonly credentialsDirectory?: string | undefined
  /** `$PGPASSFILE`. */
  readonly passFile?: string | undefined
}

/** @throws Fault STORE_UNAVAILABLE, STORE_CORRUPT, SETTING_INVALID */
export async function openStore(
  { store, storePasswordFile, dataDir }: Pick<ServerSettings, 'store' | 'storePasswordFile' | 'dataDir'>,
  { clock, log, ...places }: SecretPlaces & { clock: Clock; log: Log },
): Promise<Store> {
  if (store === 'sqlite') return await openSqliteStore({ path: join(dataDir, 'tideway.db'), log })
  return await openPostgresStore({
    target: store,
    password: { file: storePasswordFile, ...places },
    clock,
    log,
  })
}
