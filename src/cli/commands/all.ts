import type { Command } from 'commander'
import type { Cli } from './cli.ts'
import { attestCommand } from './attest.ts'
import { auditCommand } from './audit.ts'
import { backupCommand } from './backup.ts'
import { captureCommand } from './capture.ts'
import { contextCommand } from './context.ts'
import { ctlCommand } from './ctl.ts'
import { daemonCommand } from './daemon.ts'
import { devCommand } from './dev.ts'
import { emulatorCommand } from './emulator.ts'
import { keysCommand } from './keys.ts'
import { nodeCommand } from './node.ts'
import { oidcCommand } from './oidc.ts'
import { restoreCommand } from './restore.ts'
import { runCommandCommand } from './run.ts'
import { serverCommand } from './server.ts'
import { setupCommand } from './setup.ts'
import { trustCommand } from './trust.ts'
import { versionCommand } from './version.ts'

interface Entry {
  readonly name: string
  readonly summary: string
  /** Makes the command; asynchronous where that loads a whole program. */
  readonly create: (cli: Cli) => Command | Promise<Command>
}

/** Every top-level command, in the order in which help lists them. */
export const commands: readonly Entry[] = [
  {
    name: 'dev',
    summary: 'Run the whole stack on this machine, to play with or to demonstrate',
    create: devCommand,
  },
  { name: 'server', summary: 'Run the control plane', create: serverCommand },
  { name: 'daemon', summary: 'Run the node daemon', create: daemonCommand },
  { name: 'emulator', summary: 'Run a local AWS that verifies for real', create: emulatorCommand },
  { name: 'ctl', summary: 'Declare and inspect resources, in the manner of kubectl', create: ctlCommand },
  { name: 'run', summary: 'Run a command whose connections the daemon carries', create: runCommandCommand },
  { name: 'attest', summary: 'Show what this node knows about a process', create: attestCommand },
  { name: 'audit', summary: 'Show who did what', create: auditCommand },
  { name: 'node', summary: 'Let nodes join', create: nodeCommand },
  { name: 'capture', summary: 'Show and release how connections are captured', create: captureCommand },
  { name: 'trust', summary: 'Who on this node trusts the intercept CA', create: trustCommand },
  { name: 'keys', summary: 'Show and rotate the keys that sign workload tokens', create: keysCommand },
  { name: 'oidc', summary: 'Publish the OIDC issuer as static files', create: oidcCommand },
  { name: 'backup', summary: 'Back up what the control plane keeps', create: backupCommand },
  { name: 'restore', summary: 'Put a backup back', create: restoreCommand },
  { name: 'setup', summary: 'Print what to set up in a cloud', create: setupCommand },
  { name: 'context', summary: 'Choose the control plane that commands speak to', create: contextCommand },
  {
    name: 'version',
    summary: 'Print the version of this program and of its runtime',
    create: versionCommand,
  },
]
