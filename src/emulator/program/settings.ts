import { text, type SettingSpec } from '#base/settings'

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
    help: 'address to listen on; port 0 picks a free one',
  },
  stateDir: {
    ...file('folder for the CA, the root credentials and the address; a temporary one unless given'),
    placeholder: 'DIR',
  },
  issuerCa: file('PEM to trust, beside the public roots, when the keys of a token issuer are fetched'),
  accessLog: file('NDJSON with a line per request; access.ndjson in the state folder unless given'),
  rootCredentialsFile: file(
    'access key of the root user in shared-credentials form: read if it exists, else written with a new key',
  ),
  accountId: {
    parse: (value: unknown) => {
      const id = String(value)
      if (!/^\d{12}$/.test(id)) throw new TypeError('12 digits are expected')
      return id
    },
    default: '123456789012',
    placeholder: 'ID',
    help: 'the one account that exists',
  },
} satisfies Record<string, SettingSpec<unknown>>
