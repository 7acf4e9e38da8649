import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { addLoopbackAddress, bringLoopbackUp, mount, mountFlags } from '#base/syscall'

/** An address of TEST-NET-3 (RFC 5737): nobody's, and not loopback, so that it is captured like any other. */
export const cloudAddress = '203.0.113.10'

/** Hosts of the cloud that the demo and the examples call. */
export const cloudHosts: readonly string[] = [
  'sts.amazonaws.com',
  'sts.us-east-1.amazonaws.com',
  'iam.amazonaws.com',
  's3.us-east-1.amazonaws.com',
  'ssm.us-east-1.amazonaws.com',
  'bedrock-agent-runtime.us-east-1.amazonaws.com',
  'bedrock-runtime.us-east-1.amazonaws.com',
]

/**
 * Makes this process's fresh network and mount namespace a host of its own: loopback up, one address for the
 * cloud, a hosts file that names it, and a folder of its own for `base` that goes with the namespace.
 */
export function furnishPrivateHost(base: string): void {
  bringLoopbackUp()
  addLoopbackAddress(cloudAddress, 32)
  mount({ source: 'tideway', target: base, type: 'tmpfs', data: 'mode=0711' })
  const replace = (file: string, content: string) => {
    const own = path.join(base, path.basename(file))
    writeFileSync(own, content, { mode: 0o644 })
    mount({ source: own, target: file, flags: mountFlags.bind })
  }
  replace(
    '/etc/hosts',
    `127.0.0.1 localhost\n::1 localhost\n${cloudHosts.map((host) => `${cloudAddress} ${host}\n`).join('')}`,
  )
  replace('/etc/nsswitch.conf', 'hosts: files\npasswd: files\ngroup: files\n')
}
