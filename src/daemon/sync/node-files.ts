import { createPrivateKey, generateKeyPairSync, type KeyObject, type X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { Fault } from '#base/errors'
import { makeFolder, readIfPresent, writeAtomically } from '#base/files'
import { parseSpiffeId, type SpiffeId } from '#model/identity'
import { certificatesToPem, parsePemCertificates } from '#model/pki'

/** What a joined node knows about itself; nothing of it is secret. */
export interface NodeRecord {
  /** Base URL of the server's HTTPS port. */
  readonly server: string
  /** CA of that port where no public one signed its certificate. */
  readonly serverCa?: X509Certificate
  readonly spiffeId: SpiffeId
  readonly daemonName: string
  /** `host:port` of the daemon port. */
  readonly nodeEndpoint: string
  readonly serverSpiffeId: SpiffeId
  /** The node's SVID, leaf first. */
  readonly svid: readonly X509Certificate[]
  /** Roots of the trust domain. */
  readonly bundle: readonly X509Certificate[]
  readonly interceptRoot: X509Certificate
}

/** What makes a node that has lost its place in the trust domain a member again. */
const joinAgain = (stateDir: string) =>
  `put both back as they were, or remove ${join(stateDir, 'node.key')} and node.json and join again with a new join token`

/** The node key (P-256), created on first use and readable by its owner alone. */
export async function openNodeKey(stateDir: string): Promise<KeyObject> {
  makeFolder(stateDir, 0o700)
  const path = join(stateDir, 'node.key')
  const pem = await readIfPresent(path)
  if (pem !== undefined) {
    try {
      return createPrivateKey(pem)
    } catch (error) {
      throw new Fault('SETTING_INVALID', `${path} holds no private key`, {
        hint: joinAgain(stateDir),
        cause: error,
      })
    }
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeAtomically(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600)
  return privateKey
}

/** @throws Fault SETTING_INVALID when the node joined with another key: with this one the server never knows it */
export function requireSameKey(stateDir: string, { svid }: NodeRecord, key: KeyObject): void {
  if (svid[0]!.checkPrivateKey(key)) return
  throw new Fault('SETTING_INVALID', `node.key in ${stateDir} is not the key that the node joined with`, {
    hint: joinAgain(stateDir),
  })
}

/** Undefined before the node has joined. @throws Fault SETTING_INVALID when the file is damaged */
export async function readNodeRecord(stateDir: string): Promise<NodeRecord | undefined> {
  const path = join(stateDir, 'node.json')
  const text = await readIfPresent(path)
  if (text === undefined) return undefined
  try {
    const fields = JSON.parse(text) as Record<string, string>
    const need = (key: string) => {
      if (typeof fields[key] !== 'string') throw new TypeError(`${key} is missing`)
      return fields[key]
    }
    const needEndpoint = (key: string) => {
      const endpoint = need(key)
      if (!URL.canParse(`https://${endpoint}`)) throw new TypeError(`${key} is not host:port`)
      return endpoint
    }
    return {
      server: need('server'),
      ...(fields['serverCa'] && { serverCa: parsePemCertificates(fields['serverCa'])[0]! }),
      spiffeId: parseSpiffeId(need('spiffeId')),
      daemonName: need('daemonName'),
      nodeEndpoint: needEndpoint('nodeEndpoint'),
      serverSpiffeId: parseSpiffeId(need('serverSpiffeId')),
      svid: parsePemCertificates(need('svid')),
      bundle: parsePemCertificates(need('bundle')),
      interceptRoot: parsePemCertificates(need('interceptRoot'))[0]!,
    }
  } catch (error) {
    throw new Fault('SETTING_INVALID', `${path} is damaged: ${(error as Error).message}`, {
      hint: 'remove it and join again with a new join token',
      cause: error,
    })
  }
}

export async function writeNodeRecord(stateDir: string, record: NodeRecord): Promise<void> {
  const { server, serverCa, spiffeId, daemonName, nodeEndpoint, serverSpiffeId } = record
  const fields = {
    server,
    ...(serverCa && { serverCa: certificatesToPem([serverCa]) }),
    spiffeId,
    daemonName,
    nodeEndpoint,
    serverSpiffeId,
    svid: certificatesToPem(record.svid),
    bundle: certificatesToPem(record.bundle),
    interceptRoot: certificatesToPem([record.interceptRoot]),
  }
  await writeAtomically(join(stateDir, 'node.json'), `${JSON.stringify(fields, null, 2)}\n`, 0o600)
}
