import { rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Fault, toFault, type FaultKind } from '#base/errors'
import type { Log } from '#base/log'
import { peerCredentials } from '#base/syscall'
import { Counts } from '#daemon/outbound'

/** Who called, from the kernel. */
export interface Caller {
  readonly uid: number
  readonly pid: number
  /** Root, or the user that the daemon runs as. */
  readonly trusted: boolean
}

export interface ControlRoute {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** May be called by every user of this machine; it then has to look at `caller` itself. */
  readonly everyone: boolean
  /** @throws Fault */
  answer(body: unknown, caller: Caller): Promise<unknown>
}

const maxBodyBytes = 64 * 1024
/** Connections that are held, those of root and of the daemon's own user apart; more are closed. */
const maxConnections = { maxPerKey: 64, maxTotal: 256 }
const maxTrustedConnections = { maxPerKey: 128, maxTotal: 256 }
/** From the first moment of a connection to the end of a request's head, and of its body. */
const headMs = 5_000
const requestMs = 10_000
const checkMs = 1_000
const statuses: Record<FaultKind, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  exhausted: 429,
  unavailable: 503,
  unsupported: 501,
  internal: 500,
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBodyBytes) throw new Fault('WIRE_TOO_LARGE', `a body of more than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  if (length === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (error) {
    throw new Fault('WIRE_MALFORMED', 'the body is not JSON', { cause: error })
  }
}

function callerOf(socket: Socket): Caller {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const { uid, pid } = peerCredentials(fd)
  return { uid, pid, trusted: uid === 0 || uid === process.getuid!() }
}

async function handle(routes: readonly ControlRoute[], request: IncomingMessage): Promise<unknown> {
  const caller = callerOf(request.socket)
  const route = routes.find(({ method, path }) => method === request.method && path === request.url)
  if (!route) throw new Fault('KIND_UNKNOWN', `${request.method} ${request.url} is no call of the daemon`)
  if (!route.everyone && !caller.trusted) {
    throw new Fault('API_FORBIDDEN', `user ${caller.uid} may not call ${route.path}`, {
      publicText: 'only root and the user of the daemon may do this',
    })
  }
  return await route.answer(await readBody(request), caller)
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

/** Whether somebody answers on a Unix socket. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** @throws Fault CAPTURE_BUSY when a daemon answers at the socket */
export async function requireUnanswered(path: string): Promise<void> {
  if (await isAnswered(path)) {
    throw new Fault('CAPTURE_BUSY', `another daemon serves at ${path}`, {
      hint: 'stop it, or give this one a folder of its own with --run-dir',
    })
  }
}

/** Removes a socket that an earlier daemon left behind. @throws Fault CAPTURE_BUSY as `requireUnanswered` */
export async function claimSocket(path: string): Promise<void> {
  await requireUnanswered(path)
  rmSync(path, { force: true })
}

/** SECURITY: one user has room for few, and no other user takes the room of root and of the daemon's own. */
export function boundConnections(server: Server, callerOf: (socket: Socket) => Caller): void {
  const ordinary = new Counts<number>(maxConnections)
  const trusted = new Counts<number>(maxTrustedConnections)
  server.on('connection', (socket: Socket) => {
    const caller = callerOf(socket)
    const counts = caller.trusted ? trusted : ordinary
    if (counts.enter(caller.uid)) socket.once('close', () => counts.leave(caller.uid))
    else socket.destroy()
  })
}

/**
 * Serves the control socket: HTTP with JSON bodies, callers known by SO_PEERCRED. `everyone` makes the socket
 * itself reachable for all users; each route still says who may call it.
 */
export async function openControl({
  path,
  everyone,
  routes,
  log,
}: {
  path: string
  everyone: boolean
  routes: readonly ControlRoute[]
  log: Log
}): Promise<AsyncDisposable & { readonly server: Server }> {
  await claimSocket(path)
  const times = { headersTimeout: headMs, requestTimeout: requestMs, connectionsCheckingInterval: checkMs }
  const server = createServer(times, (request, response) => {
    handle(routes, request).then(
      (value) => send(response, 200, value),
      (error: unknown) => {
        const { code, kind, publicText, message } = toFault(error)
        log.debug('control.refused', { path: request.url, error: message })
        const text = kind === 'internal' ? publicText : message
        send(response, statuses[kind], { error: { code, message: text } })
      },
    )
  })
  boundConnections(server, callerOf)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path, readableAll: everyone, writableAll: everyone }, resolve)
  })
  return {
    server,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
