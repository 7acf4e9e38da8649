import type { SettingSpec } from '#base/settings'

function text(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new TypeError('a text is expected')
  return value
}

function listenAddress(value: unknown): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):(\d{1,5})$/.exec(text(value))
  const port = Number(match?.[2])
  if (!match?.[1] || port > 65_535) throw new TypeError('HOST:PORT is expected')
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}

function optional<T>(parse: (value: unknown) => T): SettingSpec<T | undefined> {
  return { parse, default: undefined }
}

/** The settings of `tideway emulator`; the flags have the same names in kebab case. */
export const emulatorSettings = {
  /** `--listen HOST:PORT`; port 0 picks a free one. */
  listen: { parse: listenAddress, default: { host: '127.0.0.1', port: 4443 } },
  /** `--state-dir DIR`: where CA, root credentials and address are written; a temporary folder unless given. */
  stateDir: optional(text),
  /** `--issuer-ca FILE`: PEM trusted, beside the public roots, when a token issuer's keys are fetched. */
  issuerCa: optional(text),
  /** `--access-log FILE`: NDJSON, one line a request; `access.ndjson` in the state folder unless given. */
  accessLog: optional(text),
  /** `--root-credentials-file FILE`: AWS shared-credentials form; read if it exists, else written with a new key. */
  rootCredentialsFile: optional(text),
  /** `--account-id ID` of the one account. */
  accountId: {
    parse: (value: unknown) => {
      const id = String(value)
      if (!/^\d{12}$/.test(id)) throw new TypeError('12 digits are expected')
      return id
    },
    default: '123456789012',
  },
} satisfies Record<string, SettingSpec<unknown>>
