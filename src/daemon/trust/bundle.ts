import type { X509Certificate } from 'node:crypto'
import { dirname } from 'node:path'
import { rootCertificates } from 'node:tls'
import { makeFolder, readIfPresent, writeAtomically } from '#base/files'

/** Where distributions keep their roots in one file: Debian, Fedora and RHEL, SUSE, Alpine. */
export const systemBundlePaths: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** The system's roots as PEM; those that come with Node.js where the system has none. */
export async function readSystemRoots(): Promise<string> {
  for (const path of systemBundlePaths) {
    const pem = await readIfPresent(path)
    if (pem) return pem.endsWith('\n') ? pem : `${pem}\n`
  }
  return `${rootCertificates.join('\n')}\n`
}

/**
 * Writes the bundle that workloads trust: the system's roots and this daemon's intercept root, and nothing else
 * (security rule 17). Only a development stack adds the CA of its toy cloud, `developmentCaPem`: there it stands
 * for the public CAs, which connections that are left alone are verified by.
 */
export async function writeTrustBundle(
  path: string,
  interceptRoot: X509Certificate,
  developmentCaPem = '',
): Promise<void> {
  makeFolder(dirname(path), 0o755)
  await writeAtomically(path, (await readSystemRoots()) + interceptRoot.toString() + developmentCaPem, 0o644)
}

/** Variables by which programs are told of a CA bundle that they read in place of their own. */
const replacing = [
  'SSL_CERT_FILE', // OpenSSL, Go, Python's ssl, Ruby
  'REQUESTS_CA_BUNDLE', // Python requests
  'CURL_CA_BUNDLE',
  'AWS_CA_BUNDLE', // AWS CLI and SDKs
  'GIT_SSL_CAINFO',
  'CARGO_HTTP_CAINFO',
  'PIP_CERT',
  'DENO_CERT',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
]
/** Read in addition to the built-in roots. */
const adding = ['NODE_EXTRA_CA_CERTS']

/** The environment in which a program trusts the bundle at `path`. */
export function trustEnvironment(path: string): Record<string, string> {
  return Object.fromEntries([...replacing, ...adding].map((name) => [name, path]))
}
