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

function file(help: string): SettingSpec<string | undefined> {
  return { parse: text, default: undefined, placeholder: 'FILE', help }
}

/** The settings of `tideway emulator`. */
export const emulatorSettings = {
  listen: {
    parse: listenAddress,
    default: { host: '127.0.0.1', port: 4443 },
    placeholder: 'HOST:PORT',
    help: 'where to listen; port 0 picks a free one',
  },
  stateDir: optional(
    text,
    'DIR',
    'folder of CA, root credentials, access log and address; a temporary one unless given',
  ),
  issuerCa: optional(text, 'FILE', "PEM trusted beside the public roots when an issuer's keys are fetched"),
  accessLog: optional(
    text,
    'FILE',
    'one JSON line a request; access.ndjson in the state folder unless given',
  ),
  rootCredentialsFile: optional(
    text,
    'FILE',
    'AWS shared-credentials file: read if it exists, else written with a new key',
  ),
  accountId: {
    parse: (value: unknown) => {
      const id = String(value)
      if (!/^\d{12}$/.test(id)) throw new TypeError('12 digits are expected')
      return id
    },
    default: '123456789012',
    placeholder: 'ID',
    help: 'id of the one account',
  },
} satisfies Record<string, SettingSpec<unknown>>
