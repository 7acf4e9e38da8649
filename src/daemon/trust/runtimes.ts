/** One TLS client of this host and how to have it connect to a listener of ours. */
export interface Runtime {
  readonly name: string
  /** The variable by which it is told of a CA bundle. */
  readonly variable: string
  /** The program and its arguments; `folder` is a temporary one that is its working folder. */
  command(target: TrustTarget): readonly [string, ...string[]]
  /** Variables beside those of the caller. */
  environment?(folder: string): NodeJS.ProcessEnv
  /** Files that it needs in its folder. */
  readonly files?: Readonly<Record<string, string>>
}

/** A listener that presents a leaf of the intercept CA for `host` on loopback. */
export interface TrustTarget {
  readonly host: string
  readonly port: number
}

const python = `
import socket, ssl, sys
context = ssl.create_default_context()
context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname=sys.argv[1])
`

const node = `
const [servername, port] = process.argv.slice(1)
const socket = require('tls').connect({ host: '127.0.0.1', port: Number(port), servername })
socket.once('secureConnect', () => process.exit(0))
socket.once('error', (error) => { console.error(error.message); process.exit(1) })
`

const go = `package main

import ("crypto/tls"; "fmt"; "os")

func main() {
	if _, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[2], &tls.Config{ServerName: os.Args[1]}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
`

/** Arguments without quoting: host names and ports hold no spaces. */
const words = (text: string) => text.split(' ')
const argumentsOf = ({ host, port }: TrustTarget) => [host, String(port)]

export const runtimes: readonly Runtime[] = [
  {
    name: 'OpenSSL',
    variable: 'SSL_CERT_FILE',
    command: ({ host, port }) => [
      'openssl',
      ...words(`s_client -connect 127.0.0.1:${port} -servername ${host} -verify_hostname ${host}`),
      ...words('-verify_return_error -brief'),
    ],
  },
  {
    name: 'curl',
    variable: 'CURL_CA_BUNDLE',
    command: ({ host, port }) => [
      'curl',
      ...words(
        `--silent --show-error --noproxy * --connect-to ${host}:443:127.0.0.1:${port} https://${host}/`,
      ),
    ],
  },
  {
    name: 'Python',
    variable: 'SSL_CERT_FILE',
    command: (target) => ['python3', '-c', python, ...argumentsOf(target)],
  },
  {
    name: 'Node.js',
    variable: 'NODE_EXTRA_CA_CERTS',
    command: (target) => ['node', '-e', node, '--', ...argumentsOf(target)],
  },
  {
    name: 'Go',
    variable: 'SSL_CERT_FILE',
    command: (target) => ['go', 'run', 'main.go', ...argumentsOf(target)],
    // What it compiles goes with the folder; the second attempt finds what the first has compiled.
    environment: (folder) => ({ GOCACHE: `${folder}/cache` }),
    files: { 'main.go': go, 'go.mod': 'module trustcheck\n' },
  },
]
