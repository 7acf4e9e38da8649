import { once } from 'node:events'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import {
  openBodyScanner,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from '#wire/http1'
import { host, type Bed, type Listener } from './fixture.ts'
import { Link } from './link.ts'

/** HTTP/1.1 spoken by hand, for tests of what a library would not send. */

export interface Message<Head> {
  readonly head: Head
  readonly body: Buffer
}

async function readBody(link: Link, framing: RequestHead['framing']): Promise<Buffer> {
  const scanner = openBodyScanner(framing)
  const parts: Buffer[] = []
  while (!scanner.done) {
    const { consumed } = scanner.scan(link.held, (part) => parts.push(Buffer.from(part)))
    link.take(consumed)
    if (!scanner.done && !(await link.fill())) break
  }
  return Buffer.concat(parts)
}

/** The next response, interim ones included; undefined when the connection ends instead. */
export async function readResponse(link: Link, method = 'GET'): Promise<Message<ResponseHead> | undefined> {
  for (;;) {
    const parsed = parseResponseHead(link.held, { method })
    if (parsed.kind === 'refused') throw new Error(parsed.reason)
    if (parsed.kind === 'head') {
      link.take(parsed.length)
      return { head: parsed.head, body: await readBody(link, parsed.head.framing) }
    }
    if (!(await link.fill())) return undefined
  }
}

/** The next request head; its body is left to the caller. */
export async function readRequestHead(link: Link): Promise<RequestHead | undefined> {
  for (;;) {
    const parsed = parseRequestHead(link.held)
    if (parsed.kind === 'refused') throw new Error(parsed.reason)
    if (parsed.kind === 'head') {
      link.take(parsed.length)
      return parsed.head
    }
    if (!(await link.fill())) return undefined
  }
}

export async function readRequest(link: Link): Promise<Message<RequestHead> | undefined> {
  const head = await readRequestHead(link)
  return head && { head, body: await readBody(link, head.framing) }
}

/** Talks on every connection; what fails ends it. */
export function serve(talk: (link: Link) => Promise<void>): (socket: Socket) => void {
  return (socket) => void talk(new Link(socket)).catch(() => socket.destroy())
}

/** Answers every request on a connection with what `respond` returns. */
export function answering(
  respond: (request: Message<RequestHead>, link: Link) => string | Promise<string>,
): (socket: Socket) => void {
  return serve(async (link) => {
    for (let request = await readRequest(link); request; request = await readRequest(link)) {
      void link.write(Buffer.from(await respond(request, link)))
    }
    link.end()
  })
}

export function response(body = 'ok', head = 'HTTP/1.1 200 OK'): string {
  return `${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** A request with the right Host, and more header lines. */
export function request(line: string, lines: readonly string[] = [], body = ''): Buffer {
  return Buffer.from([`${line} HTTP/1.1`, `Host: ${host}`, ...lines, '', body].join('\r\n'))
}

/** A client on an intercepted connection; `send` writes and reads the response. */
export class Client implements Disposable {
  readonly link: Link

  constructor(socket: Socket) {
    this.link = new Link(socket)
  }

  async send(bytes: Buffer | string, method = 'GET'): Promise<Message<ResponseHead> | undefined> {
    void this.link.write(Buffer.from(bytes))
    return readResponse(this.link, method)
  }

  /** Resolves once the other side has ended the connection. */
  async ended(): Promise<void> {
    while (await this.link.fill()) this.link.take(this.link.held.length)
  }

  [Symbol.dispose](): void {
    this.link.destroy()
  }
}

/** TLS to `host` through the proxy, as a client that trusts the intercept CA. */
export async function openTls(bed: Bed, proxy: Listener, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port: proxy.port,
    servername: host,
    ca: bed.interceptCaPem,
    ...options,
  })
  await once(socket, 'secureConnect')
  return socket
}

export async function openClient(
  bed: Bed,
  proxy: Listener,
  options: ConnectionOptions = {},
): Promise<Client> {
  return new Client(await openTls(bed, proxy, { ALPNProtocols: ['http/1.1'], ...options }))
}

export async function openPlainClient(proxy: Listener): Promise<Client> {
  const socket = connectPlain({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true })
  await once(socket, 'connect')
  return new Client(socket)
}
