import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { bindAgent } from './agent.ts'
import { agentHost, agentPath } from './resources.ts'
import type { Outcome, Workload } from './workload.ts'
import { isUnsigned, openWorld, uids, until, type World } from './world.ts'

/** The longest that a refusal may take, in seconds. */
const promptly = 3
/** How long the daemon works without its server. */
const offlineLeaseSeconds = 15
const elsewhere = { host: '127.0.0.1', port: 8000 }
const halfBody = '{"inputText": "hal'
const otherHalf = 'f a question"}'
const requestHead = (path: string) =>
  `POST ${path} HTTP/1.1\r\nHost: ${agentHost}\r\nContent-Length: ${halfBody.length + otherHalf.length}\r\n\r\n`

/**
 * Design invariant 4 on the whole product. Four connections of an identified process are each at another step of
 * the flow when a part dies or hangs; then each goes on, and a fifth is opened.
 */
describe('a part that is killed or hangs', () => {
  let world: World
  let identified: Workload
  let stranger: Workload
  let foreign: Workload
  let round = 0

  before(async () => {
    world = await openWorld({ offlineLeaseSeconds })
    await bindAgent(world)
    identified = await world.startWorkload({ uid: uids.identified })
    stranger = await world.startWorkload({ uid: uids.stranger })
    foreign = await world.startWorkload({ uid: uids.identified, otherNetwork: true })
    await foreign.do('listen', { address: elsewhere.host, port: elsewhere.port })
  })
  after(() => world[Symbol.asyncDispose]())

  const path = (name: string) => agentPath('identified', `${round}-${name}`)
  const statusOf = ({ status, error }: Outcome) => error ?? status
  /** No answer, or one of the daemon's own. */
  const isRefused = ({ error, headers }: Outcome) =>
    error !== undefined || headers?.['x-tideway-error'] !== undefined

  /** Brings a connection to each step of the flow. */
  async function prepare(): Promise<void> {
    round++
    // What an earlier failure has left.
    if (world.server.hasEnded()) await world.startServer()
    if (world.daemon.hasEnded()) await world.startDaemon()
    for (const part of [world.server, world.daemon]) part.signal('SIGCONT')
    await world.untilDaemonReady()
    await until(
      'signed requests',
      async () => (await identified.ask(agentHost, path('ready'))).status === 200,
    )
    await identified.do('connect', { id: 'connected', host: agentHost, tls: false })
    await identified.do('connect', { id: 'halfway', host: agentHost })
    await identified.do('send', { id: 'halfway', text: requestHead(path('halfway')) + halfBody })
    await identified.do('connect', { id: 'idle', host: agentHost })
    assert.equal((await identified.ask(agentHost, path('idle-before'), 'idle')).status, 200)
  }

  /** Goes on with each connection, and opens one: what came of each. */
  async function goOn(): Promise<Record<string, Outcome>> {
    const outcomes: Record<string, Outcome> = { new: await identified.ask(agentHost, path('new')) }
    const shaken = await identified.do('handshake', { id: 'connected', host: agentHost })
    outcomes.connected =
      shaken.error === undefined ? await identified.ask(agentHost, path('connected'), 'connected') : shaken
    const sent = await identified.do('send', { id: 'halfway', text: otherHalf })
    outcomes.halfway = sent.error === undefined ? await identified.do('receive', { id: 'halfway' }) : sent
    outcomes.idle = await identified.ask(agentHost, path('idle'), 'idle')
    for (const id of ['connected', 'halfway', 'idle']) await identified.do('close', { id })
    return outcomes
  }

  /** Strangers get what the cloud says to the unsigned; another network namespace is another network. */
  async function expectOthersUntouched(): Promise<void> {
    const outcome = await stranger.ask(agentHost, agentPath('stranger', round))
    assert.equal(outcome.status, 403, JSON.stringify(outcome))
    const { host, port } = elsewhere
    const there = await foreign.do('request', { host, path: '/', port, tls: false })
    assert.equal(there.status, 200, JSON.stringify(there))
  }

  function expectRefused(outcomes: Record<string, Outcome>): void {
    for (const [step, outcome] of Object.entries(outcomes)) {
      assert.ok(isRefused(outcome), `${step}: ${statusOf(outcome)}`)
      assert.ok(outcome.seconds < promptly, `${step} was refused after ${outcome.seconds} s`)
    }
  }

  /** Signed or refused, and soon; never anything else. */
  function expectSignedOrRefused(outcomes: Record<string, Outcome>): void {
    for (const [step, outcome] of Object.entries(outcomes)) {
      const { status, seconds } = outcome
      assert.ok(status === 200 || isRefused(outcome), `${step}: ${statusOf(outcome)}`)
      assert.ok(status === 200 || seconds < promptly, `${step} was refused after ${seconds} s`)
    }
  }

  async function expectAllWell(): Promise<void> {
    await until(
      'it works again',
      async () => (await identified.ask(agentHost, path('healed'))).status === 200,
    )
    await expectOthersUntouched()
    assert.deepEqual(world.seen('/identified/').filter(isUnsigned), [], 'no unsigned request arrived')
  }

  it('daemon killed: every step is refused; the next daemon serves the same processes', async () => {
    await prepare()
    await world.daemon.end('SIGKILL')
    expectRefused(await goOn())
    await expectOthersUntouched()
    await delay(2_500) // the heartbeat is too old now
    expectRefused({ late: await identified.ask(agentHost, path('late')) })
    await expectOthersUntouched()
    await world.startDaemon()
    await expectAllWell()
  })

  it('daemon hung: every step is refused once two seconds have passed; it may wake up again', async () => {
    await prepare()
    world.daemon.signal('SIGSTOP')
    expectSignedOrRefused({ early: await identified.ask(agentHost, path('early')) })
    await delay(2_500)
    expectRefused(await goOn())
    await expectOthersUntouched()
    world.daemon.signal('SIGCONT')
    await world.untilDaemonReady()
    await expectAllWell()
  })

  it('workers killed: every step is refused or signed by the next worker, and they come back', async () => {
    await prepare()
    const { workers } = world.daemonChildren()
    for (const pid of workers) process.kill(pid, 'SIGKILL')
    expectSignedOrRefused(await goOn())
    await expectOthersUntouched()
    await expectAllWell()
    await until('new workers', () => world.daemonChildren().workers.length === workers.length)
  })

  it('one worker killed: nothing is unsigned, and it comes back', async () => {
    await prepare()
    const [pid] = world.daemonChildren().workers
    process.kill(pid!, 'SIGKILL')
    expectSignedOrRefused(await goOn())
    await expectOthersUntouched()
    await expectAllWell()
  })

  it('workers hung: they are killed and replaced', async () => {
    await prepare()
    const { workers } = world.daemonChildren()
    for (const pid of workers) process.kill(pid, 'SIGSTOP')
    expectSignedOrRefused(await goOn())
    await expectOthersUntouched()
    await expectAllWell()
    await until('all are new', () => !world.daemonChildren().workers.some((pid) => workers.includes(pid)), 5)
  })

  it('attestor killed: the daemon ends with it, and identified processes are refused until the next one', async () => {
    await prepare()
    process.kill(world.daemonChildren().attestor, 'SIGKILL')
    await world.daemon.end('SIGCONT')
    expectRefused(await goOn())
    await expectOthersUntouched()
    await world.startDaemon()
    await expectAllWell()
  })

  it('server killed: everything goes on from memory until the lease ends, and by itself once it is back', async () => {
    await prepare()
    await world.server.end('SIGKILL')
    for (const [step, outcome] of Object.entries(await goOn())) assert.equal(outcome.status, 200, step)
    await expectOthersUntouched()
    const refused = await until(
      'the end of the lease',
      async () => {
        const outcome = await identified.ask(agentHost, path('leased'))
        assert.ok(outcome.status === 200 || isRefused(outcome), JSON.stringify(outcome))
        return isRefused(outcome) && outcome
      },
      offlineLeaseSeconds + 5,
    )
    assert.ok(refused.seconds < promptly)
    await expectOthersUntouched()
    await world.startServer()
    await expectAllWell()
  })

  it('server hung: the same', async () => {
    await prepare()
    world.server.signal('SIGSTOP')
    for (const [step, outcome] of Object.entries(await goOn())) assert.equal(outcome.status, 200, step)
    await expectOthersUntouched()
    await until(
      'the end of the lease',
      async () => {
        return isRefused(await identified.ask(agentHost, path('leased')))
      },
      offlineLeaseSeconds + 5,
    )
    world.server.signal('SIGCONT')
    await expectAllWell()
  })
})
