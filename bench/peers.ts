/**
 * Those whom Tideway is measured against, and the upstream of all: programs of Debian, each one process with one
 * thread, verifying the upstream's certificate, without a log. They add a header of the length of a signature and
 * sign nothing.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cipherSuite, cores, freePort, host, untilListening, type Place } from './place.ts'

/** One whom load can be sent through. */
export interface Candidate {
  readonly name: string
  /** Where clients connect. */
  readonly port: number
  /** Its processes. */
  readonly pid: number
  /** Clients ask it for a tunnel first. */
  readonly tunnelled?: boolean
}

const signature = `AWS4-HMAC-SHA256 Credential=ASIABENCH/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${'0'.repeat(64)}`
const small = JSON.stringify({ completion: 'x'.repeat(160) })

function nginxConfig(folder: string, http: string): string {
  return `daemon off; worker_processes 1; user root; pid ${folder}/pid; error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off; sendfile on; tcp_nodelay on; keepalive_timeout 600; keepalive_requests 100000000;
  client_max_body_size 0; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites ${cipherSuite};
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  ${http}
}
`
}

/** Answers a small GET, GETs of 1 and 64 MiB, and PUTs once it has the whole body; 401 to what has no signature. */
export async function startUpstream(place: Place): Promise<number> {
  const memory = existsSync('/dev/shm') ? '/dev/shm' : place.folder
  const folder = join(memory, `tideway-bench-${process.pid}`)
  mkdirSync(join(folder, 'files'), { recursive: true })
  process.once('exit', () => spawnSync('rm', ['-rf', folder]))
  mkdirSync(join(folder, 'uploads'))
  for (const mib of [1, 64]) writeFileSync(join(folder, 'files', `${mib}m`), Buffer.alloc(mib << 20, 'x'))
  const port = await freePort()
  const config = join(place.folder, 'upstream.conf')
  writeFileSync(
    config,
    nginxConfig(
      folder,
      `server {
    listen 127.0.0.1:${port} ssl backlog=4096; server_name _; root ${folder}/files;
    ssl_certificate ${place.serverFile}; ssl_certificate_key ${place.serverFile};
    if ($http_authorization = '') { return 401; }
    location / { default_type application/json; return 200 '${small}'; }
    location /file/ { alias ${folder}/files/; }
    location /put/ { alias ${folder}/uploads/; dav_methods PUT; client_body_buffer_size 64k; }
  }`,
    ),
  )
  const child = place.start('upstream', ['nginx', '-p', folder, '-c', config], { core: cores.load })
  await untilListening(port, child)
  return port
}

async function startNginx(place: Place, upstream: number): Promise<Candidate> {
  const port = await freePort()
  const folder = join(place.folder, 'nginx')
  mkdirSync(folder)
  const config = join(folder, 'conf')
  writeFileSync(
    config,
    nginxConfig(
      folder,
      `upstream up { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} ssl backlog=4096; ssl_session_tickets off;
    ssl_certificate ${place.serverFile}; ssl_certificate_key ${place.serverFile};
    location / {
      proxy_pass https://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host;
      proxy_set_header Authorization '${signature}'; proxy_request_buffering off; proxy_max_temp_file_size 0;
      proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${place.caFile};
      proxy_ssl_name ${host}; proxy_ssl_server_name on; proxy_ssl_session_reuse off;
    }
  }`,
    ),
  )
  const child = place.start('nginx', ['nginx', '-p', folder, '-c', config], { core: cores.measured })
  await untilListening(port, child)
  return { name: 'nginx', port, pid: child.pid! }
}

async function startHaproxy(place: Place, upstream: number): Promise<Candidate> {
  const port = await freePort()
  const config = join(place.folder, 'haproxy.conf')
  writeFileSync(
    config,
    `global
  nbthread 1
  maxconn 4096
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
frontend front
  bind 127.0.0.1:${port} ssl crt ${place.serverFile} alpn http/1.1 no-tls-tickets
  http-request set-header Authorization "${signature}"
  default_backend back
backend back
  http-reuse always
  server up 127.0.0.1:${upstream} ssl verify required ca-file ${place.caFile} verifyhost ${host} sni str(${host}) no-ssl-reuse
`,
  )
  const child = place.start('haproxy', ['haproxy', '-db', '-q', '-f', config], { core: cores.measured })
  await untilListening(port, child)
  return { name: 'haproxy', port, pid: child.pid! }
}

/** Peels TLS as we do: a tunnel is asked for, and a leaf for its host is minted. */
async function startSquid(place: Place): Promise<Candidate> {
  const port = await freePort()
  const folder = join(place.folder, 'squid')
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  const leaves = join(folder, 'leaves')
  const certgen = '/usr/lib/squid/security_file_certgen'
  const made = spawnSync(certgen, ['-c', '-s', leaves, '-M', '4MB'])
  if (made.status !== 0) throw new Error(`security_file_certgen: ${made.stderr.toString()}`)
  spawnSync('chmod', ['-R', 'a+rwX', leaves])
  const config = join(folder, 'conf')
  writeFileSync(join(folder, 'hosts'), `127.0.0.1 ${host}\n`)
  writeFileSync(
    config,
    `http_port 127.0.0.1:${port} ssl-bump tls-cert=${place.authorityFile} generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program ${certgen} -s ${leaves} -M 4MB
sslcrtd_children 1
ssl_bump bump all
tls_outgoing_options cafile=${place.caFile} min-version=1.3
hosts_file ${folder}/hosts
cache deny all
cache_mem 8 MB
access_log none
cache_log ${folder}/cache.log
pid_filename none
coredump_dir ${folder}
http_access allow all
request_header_access Authorization deny all
request_header_add Authorization "${signature}" all
server_persistent_connections on
client_persistent_connections on
`,
  )
  const child = place.start('squid', ['squid', '-N', '-f', config], { core: cores.measured })
  await untilListening(port, child)
  return { name: 'squid', port, pid: child.pid!, tunnelled: true }
}

async function startMitmproxy(place: Place, upstream: number): Promise<Candidate> {
  const port = await freePort()
  const folder = join(place.folder, 'mitmproxy')
  mkdirSync(folder)
  // At the head: with bodies that are streamed, everything else comes too late.
  const script = join(folder, 'sign.py')
  writeFileSync(
    script,
    `def requestheaders(flow):\n    flow.request.headers["Authorization"] = "${signature}"\n`,
  )
  const settings = [
    `confdir=${folder}`,
    'keep_host_header=true',
    'stream_large_bodies=1',
    'connection_strategy=lazy',
    `ssl_verify_upstream_trusted_ca=${place.caFile}`,
    'upstream_cert=false',
  ]
  const child = place.start(
    'mitmproxy',
    [
      'mitmdump',
      '-q',
      '--mode',
      `reverse:https://127.0.0.1:${upstream}`,
      '--listen-host',
      '127.0.0.1',
      '--listen-port',
      String(port),
      '--scripts',
      script,
      ...settings.flatMap((setting) => ['--set', setting]),
    ],
    { core: cores.measured, env: { HOME: folder } },
  )
  await untilListening(port, child)
  return { name: 'mitmproxy', port, pid: child.pid! }
}

const starters = {
  nginx: { program: 'nginx', debianPackage: 'nginx', start: startNginx },
  haproxy: { program: 'haproxy', debianPackage: 'haproxy', start: startHaproxy },
  squid: {
    program: '/usr/lib/squid/security_file_certgen',
    debianPackage: 'squid-openssl',
    start: startSquid,
  },
  mitmproxy: { program: 'mitmdump', debianPackage: 'mitmproxy', start: startMitmproxy },
}
export type PeerName = keyof typeof starters
export const peerNames = Object.keys(starters) as PeerName[]

/** Starts a peer; says which Debian package is missing. */
export async function startPeer(name: PeerName, place: Place, upstream: number): Promise<Candidate> {
  const { program, debianPackage, start } = starters[name]
  requireProgram(program, debianPackage)
  return start(place, upstream)
}

export function requireProgram(program: string, debianPackage: string): void {
  const found = spawnSync('/bin/sh', ['-c', 'command -v "$0"', program]).status === 0
  if (!found)
    throw new Error(`${program} is missing: apt-get install --no-install-recommends ${debianPackage}`)
}
