import { Command } from 'commander'
import { Fault } from '#base/errors'
import type { AuditRecord, ChangeRecord } from '#model/audit'
import { defaultNamespace } from '#model/resource'
import { shown } from '#cli/output'
import { openApi } from './api.ts'
import type { Cli } from './cli.ts'

/** The administrator and our own parts by name; people also by who vouches for them, and their groups. */
function whoDid({ actor, as, provider, groups = [] }: ChangeRecord): string {
  // A person's provider is of some type and has a name: `oidc:corp`.
  const vouched = provider?.includes(':') ? ` (${[provider, ...groups].join(', ')})` : ''
  return `${actor}${vouched}${as === undefined ? '' : ` as ${as}`}`
}

/** One record as a line for people: when, who, what, on what, how it went. */
export function auditLine(record: AuditRecord): string {
  return shown(textOf(record))
}

function textOf(record: AuditRecord): string {
  const node = 'node' in record && record.node !== undefined ? ` on ${record.node}` : ''
  switch (record.type) {
    case 'change': {
      const { at, by, verb, object, outcome, namespace, changed, message } = record
      const place = namespace === undefined || namespace === defaultNamespace ? '' : ` in ${namespace}`
      const what = changed === undefined || changed.length === 0 ? '' : ` (${changed.join(', ')})`
      const detail = message === undefined ? '' : `: ${message}`
      const program = by === undefined ? '' : ` by ${by}`
      return `${at} ${whoDid(record)}${program} ${verb} ${object}${place}${what} ${outcome}${detail}`
    }
    case 'request.start': {
      const { spiffeId, pid, executable, method, host, path, decision, credentialId, reason } = record
      const who = `${spiffeId ?? 'stranger'} (pid ${pid}${executable === undefined ? '' : ` ${executable}`})`
      const how = [credentialId && `as ${credentialId}`, reason].filter(Boolean).join(': ')
      return `${record.at} ${who}${node} ${method} https://${host}${path} ${decision}${how ? ` ${how}` : ''}`
    }
    case 'request.end': {
      const { status, requestBytes, responseBytes, durationMs, reason } = record
      return `${record.at}   answered ${status}${node}, ${requestBytes} bytes out, ${responseBytes} in, ${Math.round(durationMs)} ms${reason ? `: ${reason}` : ''}`
    }
    default:
      return JSON.stringify(record satisfies never)
  }
}

export function auditCommand(cli: Cli): Command {
  return new Command('audit')
    .description('Show who did what: signed and refused requests, exchanges, changes of resources')
    .option('-f, --follow', 'go on with what happens')
    .option('--limit <N>', 'how many of the newest records', '50')
    .option('-o, --output <FORMAT>', 'json: one record a line as it was written')
    .action(
      async ({ follow = false, limit, output }: { follow?: boolean; limit: string; output?: string }) => {
        if (!/^\d{1,5}$/.test(limit)) throw new Fault('SETTING_INVALID', '--limit: a number is expected')
        if (output !== undefined && output !== 'json')
          throw new Fault('SETTING_INVALID', '--output: only json is known')
        for await (const record of openApi(cli).audit({ limit: Number(limit), follow, signal: cli.signal })) {
          cli.terminal.print(output === 'json' ? JSON.stringify(record) : auditLine(record))
        }
      },
    )
}
