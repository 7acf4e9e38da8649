import { AwsError } from './aws-error.ts'
import type { Answer, Call, Operation, Service } from './call.ts'
import { encodeEvent } from './event-stream.ts'
import { readJsonObject } from './json-body.ts'
import type { Principal } from './principal.ts'

const eventStream = 'application/vnd.amazon.eventstream'

/** Amazon Bedrock's agent runtime: InvokeAgent. The agent says whom the cloud takes the caller for. */
export function openBedrockAgentRuntime(accountId: string): Service {
  return {
    plan(call): Operation {
      const [agents, agent, aliases, alias, sessions, session, text, ...rest] = call.segments
      const isInvoke =
        call.method === 'POST' &&
        agents === 'agents' &&
        aliases === 'agentAliases' &&
        sessions === 'sessions' &&
        text === 'text' &&
        rest.length === 0
      if (!isInvoke || !agent || !alias || !session) throw unknownOperation(call)
      return {
        name: 'InvokeAgent',
        permissions: [
          {
            action: 'bedrock:InvokeAgent',
            resource: `arn:aws:bedrock:${call.region}:${accountId}:agent-alias/${agent}/${alias}`,
          },
        ],
        run: (caller) =>
          streamed(sentences(caller, promptOf(call)), {
            'x-amzn-bedrock-agent-content-type': 'application/json',
            'x-amz-bedrock-agent-session-id': session,
          }),
      }
    },
  }
}

/** Amazon Bedrock's runtime: InvokeModel, whole and streamed, in the message format of Anthropic's models. */
export function openBedrockRuntime(): Service {
  const verbs: Readonly<Record<string, { name: string; run(call: Call, caller: Principal): Answer }>> = {
    invoke: {
      name: 'InvokeModel',
      run: (call, caller) => ({
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          type: 'message',
          role: 'assistant',
          content: [{ type: 'text', text: sentences(caller, promptOf(call)).join('') }],
          stop_reason: 'end_turn',
        }),
      }),
    },
    'invoke-with-response-stream': {
      name: 'InvokeModelWithResponseStream',
      run: (call, caller) =>
        streamed(
          [
            { type: 'message_start', message: { type: 'message', role: 'assistant', content: [] } },
            ...sentences(caller, promptOf(call)).map((text) => ({
              type: 'content_block_delta',
              index: 0,
              delta: { type: 'text_delta', text },
            })),
            { type: 'message_delta', delta: { stop_reason: 'end_turn' } },
            { type: 'message_stop' },
          ].map((event) => JSON.stringify(event)),
          { 'x-amzn-bedrock-content-type': 'application/json' },
        ),
    },
  }
  return {
    plan(call): Operation {
      const [root, model, verb = '', ...rest] = call.segments
      const found = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined
      if (call.method !== 'POST' || root !== 'model' || !model || !found || rest.length > 0) {
        throw unknownOperation(call)
      }
      return {
        name: found.name,
        permissions: [
          {
            action: `bedrock:${found.name}`,
            resource: model.startsWith('arn:')
              ? model
              : `arn:aws:bedrock:${call.region}::foundation-model/${model}`,
          },
        ],
        run: (caller) => found.run(call, caller),
      }
    },
  }
}

/** Answers the canned model: no model runs here, the text tells who was seen. */
function sentences(caller: Principal, prompt: string): readonly string[] {
  const who = caller.kind === 'anonymous' ? 'nobody' : caller.arn
  return [
    'This is the local emulator, not a real model. ',
    `You are ${who}. `,
    `You said: ${prompt.slice(0, 1000)}`,
  ]
}

/** `inputText` of an agent, the last message of a chat, or the raw body of any other model. */
function promptOf(call: Call): string {
  const { inputText, messages, prompt } = readJsonObject(call.body)
  for (const text of [inputText, prompt]) if (typeof text === 'string') return text
  if (!Array.isArray(messages)) return call.body.toString('utf8')
  const last = (messages as { content?: unknown }[]).at(-1)?.content
  return typeof last === 'string' ? last : JSON.stringify(last ?? '')
}

/** A stream of `chunk` events, each with its bytes in base64. */
function streamed(chunks: readonly string[], headers: Readonly<Record<string, string>>): Answer {
  const events = chunks.map((chunk) =>
    encodeEvent(
      { ':event-type': 'chunk', ':content-type': 'application/json', ':message-type': 'event' },
      JSON.stringify({ bytes: Buffer.from(chunk).toString('base64') }),
    ),
  )
  return { status: 200, headers: { 'content-type': eventStream, ...headers }, body: Buffer.concat(events) }
}

function unknownOperation(call: Call): AwsError {
  return new AwsError(
    404,
    'UnknownOperationException',
    `No operation at ${call.method} /${call.segments.join('/')}`,
  )
}
