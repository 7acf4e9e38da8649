import { Buffer } from 'node:buffer'
import { splitPair, withoutDotSegments, type NameValue } from './canonical.ts'
import { decodeBytes } from './encoding.ts'
import { isS3 } from './service.ts'

export interface IssuanceRequest {
  readonly method: string
  readonly path: string
  /** Without its `?`. */
  readonly query: string
  readonly headers: readonly NameValue[]
  /** The body as text, where `issuanceNeedsBody` asks for it. */
  readonly bodyText?: string
}

/** Calls of STS that return no credential; all others count as issuance, so that new ones do. */
const harmlessSts = lowerCaseSet(['DecodeAuthorizationMessage', 'GetAccessKeyInfo', 'GetCallerIdentity'])

/** Actions that return credentials, by the names that the query and JSON protocols carry. */
const issuingActions: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    athena: ['CreatePresignedNotebookUrl', 'GetSessionEndpoint'],
    cloudwatch: ['GetSpaceCredentialsForOrganization', 'GetSpaceDataAccess'],
    codepipeline: ['GetJobDetails', 'GetThirdPartyJobDetails', 'PollForJobs'],
    'cognito-identity': ['GetCredentialsForIdentity', 'GetOpenIdToken', 'GetOpenIdTokenForDeveloperIdentity'],
    'cognito-idp': ['GetClientToken'],
    ec2: ['CreateKeyPair'],
    ecr: ['GetAuthorizationToken'],
    'ecr-public': ['GetAuthorizationToken'],
    elasticmapreduce: ['GetClusterSessionCredentials', 'GetSessionEndpoint'],
    gamelift: [
      'CreateBuild',
      'GetComputeAccess',
      'GetComputeAuthToken',
      'GetInstanceAccess',
      'RequestUploadCredentials',
    ],
    glue: ['GetSessionEndpoint'],
    iam: [
      'CreateAccessKey',
      'CreateServiceSpecificCredential',
      'CreateVirtualMFADevice',
      'ResetServiceSpecificCredential',
    ],
    'license-manager': ['CreateToken', 'GetAccessToken'],
    lightsail: [
      'CreateBucketAccessKey',
      'CreateContainerServiceRegistryLogin',
      'CreateKeyPair',
      'DownloadDefaultKeyPair',
      'GetInstanceAccessDetails',
      'GetRelationalDatabaseMasterUserPassword',
    ],
    redshift: ['GetClusterCredentials', 'GetClusterCredentialsWithIAM', 'GetIdentityCenterAuthToken'],
    'redshift-serverless': ['GetCredentials', 'GetIdentityCenterAuthToken'],
    ssm: ['GetAccessToken'],
    workmail: ['AssumeImpersonationRole'],
  }).map(([service, actions]) => [service, lowerCaseSet(actions)]),
)

/** Compared without case: a name that a service might still take must not slip through. */
function lowerCaseSet(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.map((name) => name.toLowerCase()))
}

/** Paths of REST calls that return credentials. */
const issuingPaths: ReadonlyMap<string, RegExp> = new Map([
  ['account-access', /^\/access\/credentials/],
  ['airflow', /^\/(?:clitoken|webtoken)\//],
  ['awsssoportal', /^\/federation\/credentials/],
  ['bedrock-agentcore', /^\/identities\//],
  ['codeartifact', /^\/v1\/authorization-token/],
  ['connect', /^\/user\/federate\//],
  ['datazone', /\/credentials$|\/connections\/[^/]+$/],
  ['deadline', /\/(?:read|user|queue|fleet)-roles$/],
  ['eks-auth', /\/assume-role-for-pod-identity$/],
  ['emr-containers', /\/credentials$/],
  ['emr-serverless', /\/sessions\/[^/]+\/endpoint$/],
  ['finspace-api', /^\/credentials\//],
  ['grafana', /\/(?:apikeys|tokens)$/],
  ['iot', /^\/keys-and-certificate|\/provisioning-claim$/],
  ['lakeformation', /^\/(?:GetTemporary\w*Credentials|AssumeDecoratedRoleWithSAML)/],
  ['lambda', /\/microvms\/[^/]+\/(?:shell-)?auth-token$/],
  ['rolesanywhere', /^\/sessions/],
  ['signin', /^\/v1\/token/],
  ['sso-oauth', /^\/token/],
])

/** Methods by which other calls on those paths change or delete what is named, and return no credential. */
const harmlessMethods: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['datazone', new Set(['DELETE', 'PATCH'])],
])

/** S3's own calls that return credentials: CreateSession by its query, access grants by path. */
const s3GrantPath = /^\/v20180820\/accessgrantsinstance\/dataaccess/

/** Services whose calls are named in a form body (the query protocol). */
const queryServices = new Set(['ec2', 'iam', 'redshift', 'sts'])

/**
 * Whether the body has to be read before `isCredentialIssuance` can tell (an empty one counts as read). For S3
 * too, where a POST names no bucket: Ceph RGW and others serve STS and IAM there.
 */
export function issuanceNeedsBody(
  service: string,
  { method, path }: Pick<IssuanceRequest, 'method' | 'path'>,
): boolean {
  return queryServices.has(service) || (isS3(service) && method === 'POST' && plainPath(path) === '/')
}

/**
 * Whether a call returns credentials, which would outlive and escape every control here (security rule 15).
 * SECURITY: fails closed: a body that is needed and cannot be read counts as issuance, one of too many parameters
 * as well, and every name of an action counts wherever it stands, so that a second one cannot hide behind a harmless
 * first.
 */
export function isCredentialIssuance(service: string, request: IssuanceRequest): boolean {
  const needsBody = issuanceNeedsBody(service, request)
  if (needsBody && (request.bodyText === undefined || isEncoded(request))) return true
  if (needsBody && (queryServices.has(service) || claimsForm(request)) && !isForm(request)) return true
  const path = plainPath(request.path)
  const parameters = parametersOf(request.query)
  if (needsBody) for (const parameter of parametersOf(request.bodyText!)) parameters.push(parameter)
  if (parameters.length > maxParameters) return true
  const actions = actionsOf(parameters)
  for (const { name, value } of request.headers) if (name === 'x-amz-target') actions.push(targetOf(value))
  const operation = operationOf(path)
  if (operation !== undefined) actions.push(operation)
  if (service === 'sts') return actions.length === 0 || !actions.every((action) => harmlessSts.has(action))
  if (isS3(service)) {
    const createsSession = request.method === 'GET' && parameters.some(({ name }) => name === 'session')
    return createsSession || s3GrantPath.test(path) || actions.some((action) => issuesAnywhere(action))
  }
  const issuing = issuingActions.get(service)
  if (issuing !== undefined && actions.some((action) => issuing.has(action))) return true
  if (harmlessMethods.get(service)?.has(request.method)) return false
  return issuingPaths.get(service)?.test(path) ?? false
}

/** For endpoints that serve STS and IAM beside S3: harmless actions of STS and anything but issuance of IAM. */
function issuesAnywhere(action: string): boolean {
  const sts = /^(?:assume|get.*token)/.test(action)
  return sts || issuingActions.get('iam')!.has(action)
}

interface Parameter {
  /** Lower-case. */
  readonly name: string
  /** As it came. */
  readonly value: string
}

/** Of query and form together. SECURITY: they are taken apart in one go, while nobody else is served. */
const maxParameters = 10_000

/** One more than may be, of those that are too many. */
function parametersOf(form: string): Parameter[] {
  if (form === '') return []
  return form.split(/[&;]/, maxParameters + 1).map((pair) => {
    const [name, value] = splitPair(pair)
    return { name: decoded(name).toLowerCase(), value }
  })
}

function actionsOf(parameters: readonly Parameter[]): string[] {
  return parameters.filter(({ name }) => name === 'action').map(({ value }) => decoded(value).toLowerCase())
}

/** `X-Amz-Target: Prefix.Action` of the JSON protocols. */
function targetOf(value: string): string {
  return value.slice(value.lastIndexOf('.') + 1).toLowerCase()
}

/** `/service/NAME/operation/ACTION` of the RPC v2 protocol. */
function operationOf(path: string): string | undefined {
  return /\/operation\/(\w+)$/.exec(path)?.[1]?.toLowerCase()
}

function isEncoded({ headers }: IssuanceRequest): boolean {
  return headers.some(({ name, value }) => name === 'content-encoding' && value.toLowerCase() !== 'identity')
}

function claimsForm({ headers }: IssuanceRequest): boolean {
  return headers.some(({ name, value }) => name === 'content-type' && /x-www-form-urlencoded/i.test(value))
}

/** SECURITY: in another charset than UTF-8 other bytes would spell the name of an action. */
const readableForm =
  /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*(?:charset=(?:utf-8|"utf-8")[ \t]*)?)?$/i

function isForm({ headers, bodyText }: IssuanceRequest): boolean {
  const types = headers.filter(({ name }) => name === 'content-type')
  return bodyText === '' || (types.length === 1 && readableForm.test(types[0]!.value))
}

/** A path as a server may come to see it: decoded, without dot segments and doubled slashes. */
function plainPath(path: string): string {
  return withoutDotSegments(decoded(path))
}

const standsForItself = /^[!-$&-*,-~]*$/

function decoded(text: string): string {
  if (standsForItself.test(text)) return text
  return Buffer.from(decodeBytes(text.replaceAll('+', ' '))).toString('latin1')
}
