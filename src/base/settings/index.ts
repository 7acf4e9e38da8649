/**
 * Settings of the programs: flags win over environment, over file, over default; merged once and frozen.
 * Unknown keys in a file are refused with their name. Secrets never travel this way: settings name files.
 */
export { readSettingsFile, resolveSettings } from './settings.ts'
export type { SettingsFile, SettingSpec, SettingsOf } from './settings.ts'
export { isLoopback, oneOf, text } from './parsers.ts'
