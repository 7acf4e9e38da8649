import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { promisify } from 'node:util'
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  type ServiceError,
} from '@grpc/grpc-js'
import { systemClock } from '#base/clock'
import { host, openBed, scopeOf, serverIdentity } from './fixture.ts'

/** gRPC as its own library speaks it, on both sides of the data plane. */

const as = (value: Buffer) => value

function method(name: string, requestStream: boolean, responseStream: boolean) {
  const path = `/test.Words/${name}`
  const form = {
    requestSerialize: as,
    requestDeserialize: as,
    responseSerialize: as,
    responseDeserialize: as,
  }
  return { path, requestStream, responseStream, ...form } satisfies MethodDefinition<Buffer, Buffer>
}

const words = {
  upper: method('Upper', false, false),
  count: method('Count', true, false),
  split: method('Split', false, true),
  talk: method('Talk', true, true),
}

interface Handlers {
  upper: handleUnaryCall<Buffer, Buffer>
  count: handleClientStreamingCall<Buffer, Buffer>
  split: handleServerStreamingCall<Buffer, Buffer>
  talk: handleBidiStreamingCall<Buffer, Buffer>
}

const handlers: Handlers = {
  upper(call, answer) {
    const trailers = new Metadata()
    trailers.set('x-length', String(call.request.length))
    answer(null, Buffer.from(call.request.toString().toUpperCase()), trailers)
  },
  count(call, answer) {
    let bytes = 0
    call.on('data', (part: Buffer) => (bytes += part.length))
    call.on('end', () => answer(null, Buffer.from(String(bytes))))
  },
  split(call) {
    for (const word of call.request.toString().split(' ')) call.write(Buffer.from(word))
    call.end()
  },
  talk(call) {
    call.on('data', (part: Buffer) => call.write(Buffer.from(`${part.toString()}!`)))
    call.on('end', () => call.end())
  },
}

const big = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }

async function openWorld(replaced: Partial<Handlers> = {}) {
  const stack = new AsyncDisposableStack()
  const bed = stack.use(openBed())
  const server = new Server(big)
  server.addService(words, { ...handlers, ...replaced })
  const { key, cert } = serverIdentity(host, { authority: bed.upstreamCa })
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }
  const port = await promisify(server.bindAsync.bind(server))(
    '127.0.0.1:0',
    ServerCredentials.createSsl(null, [pair]),
  )
  stack.defer(() => server.forceShutdown())
  // Lattice is where AWS verifies signatures in front of gRPC; of its bodies nothing is signed.
  const service = { signing: { service: 'vpc-lattice-svcs', region: 'us-east-1' } }
  bed.plane.apply(scopeOf(port, { service }))
  const proxy = await bed.listen({ address: '127.0.0.1', port })
  const trust = credentials.createSsl(Buffer.from(bed.interceptCaPem))
  const names = { 'grpc.ssl_target_name_override': host, 'grpc.default_authority': host }
  const connect = () => new Client(`127.0.0.1:${proxy.port}`, trust, { ...names, ...big })
  const client = connect()
  stack.defer(() => client.close())
  return { bed, port, service, client, connect, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

type World = Awaited<ReturnType<typeof openWorld>>

function upper({ client }: Pick<World, 'client'>, request: Buffer, options: { deadline?: number } = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<{ answer: Buffer; trailers: Metadata }>()
  let answer: Buffer | undefined
  const call = client.makeUnaryRequest(words.upper.path, as, as, request, options, (error, value) => {
    if (error) reject(error)
    else answer = value
  })
  call.on('status', ({ metadata }) => answer && resolve({ answer, trailers: metadata }))
  return { call, done: promise }
}

const hasCode = (code: status) => (error: unknown) => (error as ServiceError).code === code

test('a unary call is signed and answered, with its trailers', async () => {
  await using world = await openWorld({
    upper(call, answer) {
      const [authorization] = call.metadata.get('authorization')
      assert.match(String(authorization), /^AWS4-HMAC-SHA256 Credential=ASIAFIRST\//)
      handlers.upper(call, answer)
    },
  })
  const { answer, trailers } = await upper(world, Buffer.from('hello')).done
  assert.equal(answer.toString(), 'HELLO')
  assert.deepEqual(trailers.get('x-length'), ['5'])
  const [start] = world.bed.audit.starts
  assert.equal(`${start!.method} ${start!.path} ${start!.decision}`, 'POST /test.Words/Upper injected')
})

test('a stream of requests is counted to its end', async () => {
  await using world = await openWorld()
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const call = world.client.makeClientStreamRequest(words.count.path, as, as, (error, value) =>
    error ? reject(error) : resolve(value!),
  )
  for (let part = 0; part < 100; part += 1) if (!call.write(Buffer.alloc(50_000))) await once(call, 'drain')
  call.end()
  assert.equal((await promise).toString(), '5000000')
})

test('a stream of responses arrives message by message', async () => {
  await using world = await openWorld()
  const call = world.client.makeServerStreamRequest(words.split.path, as, as, Buffer.from('one two three'))
  const received: string[] = []
  for await (const part of call) received.push(String(part))
  assert.deepEqual(received, ['one', 'two', 'three'])
})

test('both sides talk in turn, and the client ends its half first', async () => {
  await using world = await openWorld()
  const call = world.client.makeBidiStreamRequest(words.talk.path, as, as)
  const ended = once(call, 'status')
  for (const word of ['one', 'two', 'three']) {
    call.write(Buffer.from(word))
    const [answer] = (await once(call, 'data')) as [Buffer]
    assert.equal(answer.toString(), `${word}!`)
  }
  call.end()
  call.resume()
  const [{ code }] = (await ended) as [{ code: status }]
  assert.equal(code, status.OK)
})

test('a message of many megabytes passes both ways', async () => {
  await using world = await openWorld()
  const { answer } = await upper(world, Buffer.alloc(20_000_000, 'a')).done
  assert(answer.equals(Buffer.alloc(20_000_000, 'A')))
})

test('a server that fails is heard in status and message', async () => {
  await using world = await openWorld({
    upper: (_, answer) => answer({ code: status.FAILED_PRECONDITION, details: 'not so' }),
  })
  await assert.rejects(upper(world, Buffer.from('x')).done, (error: ServiceError) => {
    assert.equal(error.details, 'not so')
    return error.code === status.FAILED_PRECONDITION
  })
})

test('a call that its client cancels is cancelled at the server, and no other', async () => {
  const cancelled = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  await using world = await openWorld({
    upper(call, answer) {
      if (call.request.toString() !== 'wait') return handlers.upper(call, answer)
      call.on('cancelled', () => cancelled.resolve())
      arrived.resolve()
    },
  })
  const { call, done } = upper(world, Buffer.from('wait'))
  const rejected = assert.rejects(done, hasCode(status.CANCELLED))
  await arrived.promise
  call.cancel()
  await Promise.all([cancelled.promise, rejected])
  assert.equal((await upper(world, Buffer.from('next')).done).answer.toString(), 'NEXT')
})

test('a deadline ends the call on both sides', async () => {
  const ended = Promise.withResolvers<void>()
  let arrived = false
  await using world = await openWorld({
    upper(call) {
      arrived = true
      call.on('cancelled', () => ended.resolve())
    },
  })
  const { done } = upper(world, Buffer.from('x'), { deadline: systemClock.now() + 500 })
  await assert.rejects(done, hasCode(status.DEADLINE_EXCEEDED))
  // On a machine that is busy elsewhere the call may not have come that far.
  if (arrived) await ended.promise
})

test('a refusal reaches the client as a status that says why', async () => {
  await using world = await openWorld()
  world.bed.plane.apply(scopeOf(world.port, { service: world.service, credentials: [] }))
  const client = world.connect()
  await assert.rejects(upper({ client }, Buffer.from('x')).done, (error: ServiceError) => {
    assert.match(error.details, /^tideway: there is no credential yet for binding app-aws/)
    return error.code === status.UNAVAILABLE
  })
  client.close()
})

test('a call whose body would have to be hashed is refused before it is waited for, with the ways out', async () => {
  await using world = await openWorld()
  const service = { signing: { service: 'execute-api', region: 'us-east-1' } }
  world.bed.plane.apply(scopeOf(world.port, { service }))
  const client = world.connect()
  const call = client.makeBidiStreamRequest(words.talk.path, as, as)
  const failed = Promise.withResolvers<ServiceError>()
  call.on('error', failed.resolve)
  const { code, details } = await failed.promise
  assert.equal(code, status.UNIMPLEMENTED)
  assert.match(details, /^tideway: a gRPC call may go on for ever, and execute-api verifies a hash of all/)
  client.close()
})
