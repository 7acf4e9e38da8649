#!/usr/bin/env node
// The same as agent.py, for machines without Python: one line per request, `STATUS TEXT`.
//   agent.mjs               one request
//   agent.mjs --every 0.05  a request every 50 ms over one kept-alive connection, until it is told to stop
import { Agent, request } from 'node:https'
import { basename } from 'node:path'

// Node.js names its main thread itself; this gives the process back the name it was started by (process:name).
process.title = basename(process.argv0)

const url =
  'https://bedrock-agent-runtime.us-east-1.amazonaws.com/agents/AGENT123/agentAliases/ALIAS456/sessions/session-001/text'
const body = JSON.stringify({ inputText: 'What is the weather like in Budapest?' })
// proxyEnv: honour the usual HTTPS_PROXY, where somebody set one.
const agent = new Agent({ keepAlive: true, maxSockets: 1, proxyEnv: process.env })

function ask() {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const outgoing = request(url, { method: 'POST', agent, headers, timeout: 10_000 }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks)
          .toString('latin1')
          .replaceAll(/[^ -~]+/g, ' ')
        resolve(`${response.statusCode} ${text.replaceAll(/\s+/g, ' ').trim().slice(0, 200)}`)
      })
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('timed out')))
    outgoing.on('error', (error) => resolve(`0 ${error.code ?? error.message}`))
    outgoing.end(body)
  })
}

const every = process.argv[2] === '--every' ? Number(process.argv[3]) * 1000 : undefined
for (;;) {
  const line = await ask()
  console.log(line)
  if (every === undefined) process.exit(line.startsWith('200 ') ? 0 : 1)
  await new Promise((resolve) => setTimeout(resolve, every))
}
