/**
 * The file that `tideway backup` writes and `tideway restore` reads: every key of a store with its value, as lines of
 * JSON, with a check sum at the end, so that a file that was cut off or changed is known for one. It knows neither
 * stores nor what the values mean; what was sealed in them stays sealed.
 */
export { backupLines, openBackupReader, type BackupEntry, type BackupReader } from './backup.ts'
