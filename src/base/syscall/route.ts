import { closeSync } from 'node:fs'
import { must, scratch, syscall } from './system.ts'

// rtnetlink(7): a request and its acknowledgement, for the loopback interface of our own namespace.
const AF_INET = 2
const AF_INET6 = 10
const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 0x80003
const NLM_F_REQUEST_ACK = 5
const NLM_F_CREATE_EXCL = 0x600
const NLMSG_ERROR = 2
const RTM_NEWLINK = 16
const RTM_NEWADDR = 20
const RTM_NEWROUTE = 24
const IFF_UP = 1
const IFA_LOCAL = 2
const RTA_OIF = 4
const RT_TABLE_LOCAL = 255
const RTPROT_BOOT = 3
const RT_SCOPE_HOST = 254
const RTN_LOCAL = 2
/** The first interface of every network namespace. */
const loopbackIndex = 1

const EAFNOSUPPORT = 97
const EOPNOTSUPP = 95

/** Sends one request; gives 0 or minus the error number of its acknowledgement. */
function request(type: number, flags: number, body: Buffer): number {
  const fd = must('socket(AF_NETLINK)', syscall('socket', AF_NETLINK, SOCK_RAW_CLOEXEC, 0))
  try {
    const { address, bytes } = scratch()
    bytes.writeUInt32LE(16 + body.length, 0)
    bytes.writeUInt16LE(type, 4)
    bytes.writeUInt16LE(NLM_F_REQUEST_ACK | flags, 6)
    body.copy(bytes, 16)
    must('netlink request', syscall('sendto', fd, address, 16 + body.length, 0, 0, 0))
    must('netlink answer', syscall('recvfrom', fd, address, bytes.length, 0, 0, 0))
    return bytes.readUInt16LE(4) === NLMSG_ERROR ? bytes.readInt32LE(16) : 0
  } finally {
    closeSync(fd)
  }
}

function attribute(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(4 + value.length, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, value])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/**
 * Brings up `lo` of this thread's network namespace, which also gives it 127.0.0.1 and ::1.
 * @throws Fault SYSCALL_FAILED
 */
export function bringLoopbackUp(): void {
  const link = Buffer.alloc(16)
  link.writeInt32LE(loopbackIndex, 4)
  link.writeUInt32LE(IFF_UP, 8)
  link.writeUInt32LE(IFF_UP, 12)
  must('bring lo up', request(RTM_NEWLINK, 0, link))
}

/**
 * Gives `lo` one more address.
 * @throws Fault SYSCALL_FAILED, with EEXIST when it has the address
 */
export function addLoopbackAddress(ipv4: string, prefixLength: number): void {
  const octets = Buffer.from(ipv4.split('.').map(Number))
  if (octets.length !== 4) throw new TypeError(`${JSON.stringify(ipv4)} is not an IPv4 address`)
  const header = Buffer.from([AF_INET, prefixLength, 0, RT_SCOPE_HOST, 0, 0, 0, 0])
  header.writeUInt32LE(loopbackIndex, 4)
  must(
    `add ${ipv4}/${prefixLength} to lo`,
    request(RTM_NEWADDR, NLM_F_CREATE_EXCL, Buffer.concat([header, attribute(IFA_LOCAL, octets)])),
  )
}

/**
 * Makes every address local in this network namespace (`ip route add local default dev lo`, both families), so
 * that a listener there receives what was meant for anybody. Says whether IPv6 took part: a kernel may lack it.
 * @throws Fault SYSCALL_FAILED
 */
export function addLocalDefaultRoutes(): { ipv6: boolean } {
  const add = (family: number) =>
    request(
      RTM_NEWROUTE,
      NLM_F_CREATE_EXCL,
      Buffer.concat([
        Buffer.from([family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0, 0, 0, 0]),
        attribute(RTA_OIF, uint32(loopbackIndex)),
      ]),
    )
  must('add the local default route', add(AF_INET))
  const result = add(AF_INET6)
  if (result === -EAFNOSUPPORT || result === -EOPNOTSUPP) return { ipv6: false }
  must('add the local default route for IPv6', result)
  return { ipv6: true }
}
