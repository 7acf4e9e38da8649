import path from 'node:path'
import type { Clock, EpochMs } from '#base/clock'
import type { AuditRecord } from '#model/audit'
import type { Narrator } from './narrator.ts'
import type { CliResult } from './own-cli.ts'
import type { Stack } from './stack.ts'
import { waitFor } from './wait.ts'
import { findWorkloadProgram, runWorkload, workloadCommand, type Answer } from './workload.ts'

/** The demo: each step shows its evidence and records whether what we promise held. */
export async function tellStory(
  stack: Stack,
  narrator: Narrator,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const program = findWorkloadProgram(stack.workloadEnv)
  const command = (name: string) => stack.enclose(workloadCommand(program, name, stack.workloadDirectory))
  const example = path.relative(process.cwd(), stack.example)
  const bindingFile = path.join(example, '40-credential-binding.yaml')
  const agent = command('bedrock-agent')
  const stranger = command('somebody-else')
  const once = async (workload: readonly string[]): Promise<Answer> => {
    await using running = runWorkload(workload, { env: stack.workloadEnv, clock, signal })
    return (await running.ended())[0]!
  }
  const cli = async (args: readonly string[], input?: string): Promise<CliResult> => {
    const result = await stack.cli(args, input)
    narrator.showCommand(`tideway ${args.join(' ')}`, result.stdout + result.stderr)
    return result
  }

  narrator.step('Declare it: who the workload is, which role it takes, where it may go')
  const applied = await cli(['ctl', 'apply', '-f', example])
  narrator.expect(applied.code === 0, 'the resources of the guide apply')
  await allReady(stack, { clock, signal })
  await cli(['ctl', 'get', 'credentialsources,credentialbindings'])
  narrator.expect(true, 'the source is AVAILABLE and the binding is OK')

  narrator.step(
    `A process without credentials calls Bedrock: ${program.description}, started ${stack.startedHow}`,
  )
  narrator.show(`its whole environment: ${Object.keys(stack.workloadEnv).join(' ')}`)
  const allowed = await once(agent)
  narrator.show(`the workload saw: ${allowed.status} ${allowed.text}`)
  const seen = stack.lastCloudRequest()
  narrator.show(`the cloud saw:    ${seen.principal} (${seen.accessKeyId}), signature verified`)
  narrator.expect(allowed.status === 200, 'its request was signed on the wire and the cloud answered 200')

  narrator.step('The same call from a process that matches no identity')
  const refused = await once(stranger)
  narrator.show(`the stranger saw: ${refused.status} ${refused.text}`)
  narrator.expect(refused.status === 403, 'it left unsigned and the cloud answered 403')

  narrator.step('Why: what was declared, and what was found out about a process')
  await cli(['ctl', 'describe', 'credentialsource', stack.names.source])
  await cli(['ctl', 'describe', 'credentialbinding', stack.names.binding])
  await using flowing = runWorkload([...agent, '--every', '0.02'], { env: stack.workloadEnv, clock, signal })
  await flowing.next('a success', ({ status }) => status === 200)
  const attested = await stack.attest('bedrock-agent', flowing.pid)
  narrator.showCommand(`tideway attest ${attested.pid}`, attested.stdout)
  narrator.expect(
    attested.stdout.includes(stack.names.spiffeId),
    'the process was attested and bears the identity',
  )

  narrator.step('The credential is rotated while requests flow')
  const before = flowing.answers.length
  const keyBefore = stack.lastCloudRequest().accessKeyId
  const rotated = await cli(['ctl', 'rotate', `credentialbinding/${stack.names.binding}`])
  const keyAfter = await waitFor(
    'the use of the new credential',
    async () => {
      const { accessKeyId } = stack.lastCloudRequest()
      return accessKeyId === keyBefore ? undefined : accessKeyId
    },
    { clock, signal },
  )
  const during = flowing.answers.slice(before)
  narrator.show(`${keyBefore} before, ${keyAfter} after; ${during.length} requests meanwhile`)
  narrator.expect(
    rotated.code === 0 && during.every(({ status }) => status === 200),
    'no request failed while the credential changed',
  )

  narrator.step('The binding is deleted while requests flow')
  const atDeletion = flowing.answers.length
  await cli(['ctl', 'delete', '-f', bindingFile])
  const cut = await flowing.next('a cut', ({ status }) => status !== 200, atDeletion)
  const after = await flowing.next('a refusal', ({ status }) => status === 403, atDeletion)
  const elapsedMs = after.at - (await deletionTime(stack))
  narrator.show(`the open connection: ${cut.status} ${cut.text}`)
  narrator.show(`the next request:    ${after.status} ${after.text}`)
  narrator.expect(
    elapsedMs < 1000,
    `the open connection was cut and the next request refused ${elapsedMs} ms after the deletion`,
  )
  await cli(['ctl', 'apply', '-f', bindingFile])
  await allReady(stack, { clock, signal })
  const again = await once(agent)
  narrator.show(`the workload saw: ${again.status} ${again.text}`)
  narrator.expect(again.status === 200, 'applied again, it works again')

  narrator.step('Who did what')
  const audit = await stack.cli(['audit', '--limit', '10000'])
  narrator.showCommand('tideway audit', digest(audit.stdout))
  narrator.expect(/injected/.test(audit.stdout), 'every signed request has its audit record')
}

async function allReady(stack: Stack, options: { clock: Clock; signal: AbortSignal }): Promise<void> {
  const state = async (kind: string, name: string) =>
    (
      await stack.cli(['ctl', 'get', kind, name, '-o', 'jsonpath={.status.state}: {.status.message}'])
    ).stdout.trim()
  let last = ''
  await waitFor(
    'AVAILABLE and OK',
    async () => {
      const source = await state('credentialsource', stack.names.source)
      const binding = await state('credentialbinding', stack.names.binding)
      const progress = `source ${source}; binding ${binding}`
      if (progress !== last) stack.say(`   ... ${progress}`)
      last = progress
      return source.startsWith('AVAILABLE') && binding.startsWith('OK') ? true : undefined
    },
    options,
  )
}

/** When the control plane deleted the binding, by its own record. */
async function deletionTime(stack: Stack): Promise<EpochMs> {
  const { stdout } = await stack.cli(['audit', '--limit', '10000', '-o', 'json'])
  const records = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditRecord)
  const deletion = records.findLast((record) => record.type === 'change' && record.verb === 'delete')
  if (!deletion) throw new Error('the deletion is not in the audit trail')
  return Date.parse(deletion.at)
}

/** The first and last few lines of a long listing. */
function digest(text: string, each = 8): string {
  const lines = text.trimEnd().split('\n')
  if (lines.length <= 2 * each + 1) return text
  return [...lines.slice(0, each), `... ${lines.length - 2 * each} more ...`, ...lines.slice(-each)].join(
    '\n',
  )
}
