/**
 * What a reason asks of whoever reads it: nothing; to wait, and the message says for what; or to act, and the message
 * names what to do.
 */
export type Needs = 'nothing' | 'time' | 'action'

interface ReasonEntry {
  readonly needs: Needs
  readonly meaning: string
}

const nothing = (meaning: string) => ({ needs: 'nothing', meaning }) as const
const time = (meaning: string) => ({ needs: 'time', meaning }) as const
const action = (meaning: string) => ({ needs: 'action', meaning }) as const

/** Every reason that the control plane gives in a condition; daemons have their own (`reportedTypes`). */
export const reasons = {
  // Of every kind.
  NotImplemented: action('The object sets fields, or is of a type, that this version does not act on.'),

  // WorkloadIdentity.
  Valid: nothing('It is in force.'),
  WorkloadIDTaken: action(
    'A Daemon, or an older WorkloadIdentity of another namespace, has this workload ID.',
  ),
  Matched: nothing('Daemons in its scope are connected.'),
  NotConnected: action('There are daemons in its scope, and none is connected.'),
  NoDaemon: action('No daemon is in its scope; of a binding: none that is connected.'),
  ScopeFull: action(
    'Daemons go without it, for the scope of a daemon takes no more: its namespace wants more than its share. Of a Daemon: it goes without some.',
  ),
  WeakSelectors: action(
    'Its selectors say little of who runs the process, or nothing that the kernel can filter by.',
  ),

  // Service.
  Selected: nothing('CredentialBindings in force select it.'),
  NoBinding: action('No CredentialBinding in force uses it.'),

  // CredentialBinding.
  Found: nothing('What it names is there.'),
  IdentityMissing: action('There is no WorkloadIdentity with its workload ID.'),
  SourceMissing: action('There is no CredentialSource of the name that it gives.'),
  ServiceMissing: action('No Service has the labels that it selects.'),
  Unsupported: action('It asks for what this version does not do.'),
  HostBoundTwice: action('Another binding binds the same workload to the same host: neither is in force.'),
  PlainText: action('Its credential would leave without TLS, and it does not say why that is safe.'),
  RenewalFails: action('Its credential still serves, and cannot be renewed.'),
  CaptureTooWeak: action('Daemons capture at a weaker level than it demands.'),
  DaemonFailed: action('A daemon cannot put it into effect.'),
  Waiting: time('A daemon is putting it into effect, or an update of its scope.'),
  Acknowledged: nothing('Every daemon concerned has put it into effect.'),

  // CredentialSource, and the credentials of bindings.
  Answered: nothing('The issuer, or the exchange endpoint, answers as it should.'),
  Checking: time('It is being looked at for the first time.'),
  UnderWay: time('The first exchange is under way.'),
  Exchanged: nothing('The cloud has given a credential.'),
  DiscoveryDiffers: action('What is published at the URL of the issuer is not the document of this server.'),
  JwksDiffers: action('What is published at the URL of the issuer lacks a key of this server.'),
  NameNotResolved: action('The name of the issuer or endpoint is not known to DNS.'),
  ConnectionRefused: action('Nothing listens where the issuer or endpoint should be.'),
  NoAnswer: action('The issuer or endpoint does not answer in time.'),
  CertificateUntrusted: action('The certificate of the issuer or endpoint is not trusted here.'),
  EndpointUnreachable: action('The issuer or endpoint cannot be reached for another reason.'),
  Throttled: time('The cloud limits our requests.'),
  ServiceUnavailable: time('The cloud cannot answer at the moment.'),
  IssuerUnreachable: action('The cloud cannot read the documents of the issuer.'),
  IssuerCertificateRefused: action('The cloud does not accept the certificate of the issuer.'),
  AudienceRefused: action('The cloud does not accept the audience of the token.'),
  ProviderMissing: action('The account has no OIDC provider for the issuer.'),
  ClockSkew: action('The clocks of this server and of the cloud differ.'),
  RoleMissing: action('There is no such role.'),
  LifetimeRefused: action('The role does not allow sessions this long.'),
  RegionDisabled: action('STS is not active in the region.'),
  SubjectRefused: action('The trust policy of the role does not allow the workload.'),
  RefusedWithoutReason: action('The endpoint refuses and does not say why.'),
  TokenRefused: action('The cloud refuses the token for another reason.'),
  RequestRefused: action('The endpoint refuses the request for another reason.'),
  AnswerMalformed: action('What answers is no STS.'),
  ServerUnavailable: time(
    'This server cannot keep or record the credential: its store or its audit trail is away.',
  ),
  InternalError: action('A defect of this server.'),

  // Daemon.
  Connected: nothing('Its stream is open.'),
  Disconnected: action('It is not connected, or nothing is heard of it.'),
  Unhealthy: action('It says that something is wrong with it.'),
  UpdateFailed: action('It could not put its scope into effect.'),

  // IdentityProvider and OIDCClient.
  Discovered: nothing('Its documents are there: its users can log in.'),
  DiscoveryFailed: action('Its documents cannot be read, or are not as they should be.'),
  Configured: nothing('Its users can log in.'),
  SecretMissing: action('Its client secret is not there.'),
  PrefixTaken: action('An older IdentityProvider gives names that it could give too: nobody can log in.'),
  NotRead: action('It lies where it is not acted on.'),
  NoProvider: action('The IdentityProvider of the client is not there, or is not acted on.'),
  AudienceMissing: action('The IdentityProvider does not accept tokens for this client.'),
} as const satisfies Record<string, ReasonEntry>

export type Reason = keyof typeof reasons

/** What daemons report of an object, by the type of the condition: what that means, and what to do unless they say so. */
export const reportedTypes: Readonly<Record<string, { readonly meaning: string; readonly remedy?: string }>> =
  {
    UpstreamVerified: {
      meaning: 'The certificate of the Service is not what it should be: nothing is sent there.',
      remedy: 'correct the certificate there, or name its CA in spec.caBundle',
    },
    UpstreamReachable: {
      meaning: 'The Service cannot be reached from a node.',
      remedy: 'check spec.addresses, and the network of that node',
    },
    InterceptTrusted: { meaning: 'A workload does not trust the certificates that the daemon shows it.' },
    ProtocolSupported: {
      meaning: 'A workload speaks neither HTTP/1.1 nor HTTP/2 to a bound host.',
      remedy: 'let it offer one of them, or take the host out of its bindings',
    },
    InterceptReady: {
      meaning: 'The daemon has no certificate authority for its bound hosts yet.',
      remedy: 'that heals by itself within seconds; if it does not, see the log of the daemon',
    },
    AuditAvailable: {
      meaning: 'A daemon cannot write audit records, of all or of this identity, and refuses requests.',
      remedy: 'make room on the disk of the node, or raise auditSpoolMib',
    },
    CredentialRenewed: {
      meaning:
        'The credential of a binding nears its end on a node, or has expired there, and no other has come.',
    },
    ClockInSync: { meaning: 'The clock of the node differs from that of an endpoint.' },
    NotCapturable: {
      meaning:
        'The kernel cannot filter by what the selectors of an identity ask, or has no room for it; of a daemon: it left alone what other network namespaces (containers, pods) connected.',
    },
    SelectorsCollected: {
      meaning: 'An identity has selectors that a daemon does not collect.',
      remedy: 'use other keys',
    },
  }
