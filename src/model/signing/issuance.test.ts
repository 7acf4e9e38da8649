import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCredentialIssuance, issuanceNeedsBody, type IssuanceRequest } from './index.ts'

const form = [{ name: 'content-type', value: 'application/x-www-form-urlencoded; charset=utf-8' }]

function request(parts: Partial<IssuanceRequest> = {}): IssuanceRequest {
  return { method: 'POST', path: '/', query: '', headers: form, ...parts }
}

function target(value: string): Partial<IssuanceRequest> {
  return { headers: [{ name: 'x-amz-target', value }], bodyText: '{}' }
}

const issuing: [service: string, what: string, parts: Partial<IssuanceRequest>][] = [
  ['sts', 'AssumeRole in the body', { bodyText: 'Action=AssumeRole&Version=2011-06-15' }],
  ['sts', 'AssumeRole in the query', { query: 'Action=AssumeRole', method: 'GET', bodyText: '' }],
  ['sts', 'GetSessionToken', { bodyText: 'Action=GetSessionToken' }],
  ['sts', 'GetFederationToken', { bodyText: 'Action=GetFederationToken' }],
  ['sts', 'a call that does not exist yet', { bodyText: 'Action=AssumeAnything' }],
  ['sts', 'an action behind a harmless one', { bodyText: 'Action=GetCallerIdentity&Action=AssumeRole' }],
  [
    'sts',
    'an action in the body behind a harmless query',
    { query: 'Action=GetCallerIdentity', bodyText: 'Action=AssumeRole' },
  ],
  ['sts', 'an action behind a semicolon', { bodyText: 'Action=GetCallerIdentity;Action=AssumeRole' }],
  ['sts', 'an encoded action', { bodyText: '%41ction=Assume%52ole' }],
  ['sts', 'another case', { bodyText: 'action=assumerole' }],
  ['iam', 'more parameters than can be looked at', { bodyText: `${'a&'.repeat(10_000)}Action=ListUsers` }],
  ['sts', 'no action at all', { bodyText: '' }],
  ['sts', 'a body that was not read', { query: 'Action=GetCallerIdentity' }],
  [
    'sts',
    'a body in another form',
    {
      headers: [{ name: 'content-type', value: 'multipart/form-data' }],
      query: 'Action=GetCallerIdentity',
      bodyText: 'x',
    },
  ],
  [
    'sts',
    'a compressed body',
    {
      headers: [...form, { name: 'content-encoding', value: 'gzip' }],
      query: 'Action=GetCallerIdentity',
      bodyText: 'x',
    },
  ],
  ...['utf-16be', 'utf-16', 'ibm037', '"utf-16le"', 'utf-8;charset=utf-16be', 'utf-7'].map(
    (charset): (typeof issuing)[number] => [
      'sts',
      `a body in ${charset}`,
      {
        headers: [{ name: 'content-type', value: `application/x-www-form-urlencoded; charset=${charset}` }],
        query: 'Action=GetCallerIdentity',
        bodyText: '\0A\0c\0t\0i\0o\0n\0=\0A\0s\0s\0u\0m\0e\0R\0o\0l\0e',
      },
    ],
  ),
  [
    's3',
    'a form in another charset, where STS may share the endpoint',
    {
      headers: [{ name: 'content-type', value: 'application/x-www-form-urlencoded; charset=ibm037' }],
      bodyText: '\xc1\x83\xa3',
    },
  ],
  ['sts', 'an action as a target', { ...target('AWSSecurityTokenServiceV20110615.AssumeRole') }],
  ['iam', 'CreateAccessKey', { bodyText: 'Action=CreateAccessKey&UserName=x' }],
  ['iam', 'CreateServiceSpecificCredential', { bodyText: 'Action=CreateServiceSpecificCredential' }],
  ['iam', 'CreateAccessKey behind another', { bodyText: 'Action=ListUsers;Action=CreateAccessKey' }],
  ['redshift', 'GetClusterCredentials', { bodyText: 'Action=GetClusterCredentials' }],
  [
    'cognito-identity',
    'GetCredentialsForIdentity',
    target('AWSCognitoIdentityService.GetCredentialsForIdentity'),
  ],
  ['ecr', 'GetAuthorizationToken', target('AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken')],
  ['redshift-serverless', 'GetCredentials', target('RedshiftServerless.GetCredentials')],
  ['redshift-serverless', 'an RPC v2 call', { path: '/service/RedshiftServerless/operation/GetCredentials' }],
  ['codeartifact', 'GetAuthorizationToken', { path: '/v1/authorization-token', query: 'domain=d' }],
  ['eks-auth', 'AssumeRoleForPodIdentity', { path: '/clusters/c/assume-role-for-pod-identity' }],
  [
    'awsssoportal',
    'GetRoleCredentials',
    { method: 'GET', path: '/federation/credentials', query: 'role_name=r' },
  ],
  ['sso-oauth', 'CreateToken', { path: '/token' }],
  ['signin', 'CreateOAuth2TokenWithIAM', { path: '/v1/token', query: 'x-amz-client-auth-method=iam' }],
  ['ssm', 'GetAccessToken', target('AmazonSSM.GetAccessToken')],
  ['ec2', 'CreateKeyPair', { bodyText: 'Action=CreateKeyPair&KeyName=k&Version=2016-11-15' }],
  ['codepipeline', 'PollForJobs', { path: '/service/CodePipeline_20150709/operation/PollForJobs' }],
  ['account-access', 'GetRoleCredentials', { method: 'GET', path: '/access/credentials' }],
  [
    'datazone',
    'GetConnection',
    { method: 'GET', path: '/v2/domains/d/connections/c', query: 'withSecret=true' },
  ],
  ['emr-serverless', 'GetSessionEndpoint', { method: 'GET', path: '/applications/a/sessions/s/endpoint' }],
  ['connect', 'GetFederationToken', { method: 'GET', path: '/user/federate/i' }],
  ['iot', 'CreateKeysAndCertificate', { path: '/keys-and-certificate', query: 'setAsActive=true' }],
  ['sso-oauth', 'a path in disguise', { path: '//x/../%74oken' }],
  ['s3', 'CreateSession', { method: 'GET', query: 'session' }],
  ['s3express', 'CreateSession', { method: 'GET', path: '/bucket', query: 'session=' }],
  ['s3', 'GetDataAccess', { method: 'GET', path: '/v20180820/accessgrantsinstance/dataaccess' }],
  ['s3', 'AssumeRole where STS shares the endpoint', { bodyText: 'Action=AssumeRole' }],
  ['s3', 'CreateAccessKey where IAM shares the endpoint', { bodyText: 'Action=CreateAccessKey' }],
  ['s3', 'a body that was not read, where STS may share the endpoint', { path: '/./' }],
]

for (const [service, what, parts] of issuing) {
  test(`${service} returns credentials: ${what}`, () => {
    assert.equal(isCredentialIssuance(service, request(parts)), true)
  })
}

const harmless: [service: string, what: string, parts: Partial<IssuanceRequest>][] = [
  ['sts', 'GetCallerIdentity', { bodyText: 'Action=GetCallerIdentity&Version=2011-06-15' }],
  ...['', ';', ' ; charset=UTF-8', ';charset="utf-8" '].map((rest): (typeof harmless)[number] => [
    'sts',
    `GetCallerIdentity in a form${rest}`,
    {
      headers: [{ name: 'content-type', value: `application/x-www-form-urlencoded${rest}` }],
      bodyText: 'Action=GetCallerIdentity',
    },
  ]),
  [
    'sts',
    'GetCallerIdentity by query',
    { method: 'GET', headers: [], query: 'Action=GetCallerIdentity', bodyText: '' },
  ],
  ['ec2', 'many parameters', { bodyText: `Action=DescribeInstances${'&InstanceId.1=i'.repeat(9_000)}` }],
  ['iam', 'ListUsers', { bodyText: 'Action=ListUsers' }],
  ['ec2', 'DescribeInstances', { bodyText: 'Action=DescribeInstances&Version=2016-11-15' }],
  ['lambda', 'Invoke', { path: '/2015-03-31/functions/f/invocations' }],
  ['ssm', 'GetParameter', target('AmazonSSM.GetParameter')],
  ['bedrock', 'InvokeAgent', { path: '/agents/A/agentAliases/B/sessions/C/text' }],
  ['datazone', 'UpdateConnection', { method: 'PATCH', path: '/v2/domains/d/connections/c' }],
  ['datazone', 'DeleteConnection', { method: 'DELETE', path: '/v2/domains/d/connections/c' }],
  ['s3', 'an object called session', { method: 'GET', path: '/bucket/session' }],
  ['s3', 'DeleteObjects', { query: 'delete', bodyText: '<Delete/>' }],
  ['s3', 'a multipart upload', { path: '/bucket/key', query: 'uploads' }],
  ['ecr', 'DescribeImages', target('AmazonEC2ContainerRegistry_V20150921.DescribeImages')],
]

for (const [service, what, parts] of harmless) {
  test(`${service} returns none: ${what}`, () => {
    assert.equal(isCredentialIssuance(service, request(parts)), false)
  })
}

test('a body is asked for only where calls are named in it', () => {
  assert.equal(issuanceNeedsBody('sts', request()), true)
  assert.equal(issuanceNeedsBody('s3', request()), true)
  assert.equal(issuanceNeedsBody('s3', request({ path: '/key' })), false)
  assert.equal(issuanceNeedsBody('s3', request({ method: 'PUT' })), false)
  assert.equal(issuanceNeedsBody('bedrock', request()), false)
})
