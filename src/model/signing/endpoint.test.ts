import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { deriveSigningScope } from './index.ts'

const scopes: Record<string, string | undefined> = {
  'bedrock-agent-runtime.us-east-1.amazonaws.com': 'bedrock us-east-1',
  'bedrock-runtime.eu-west-3.amazonaws.com': 'bedrock eu-west-3',
  'bedrock-runtime-fips.us-east-1.amazonaws.com': 'bedrock us-east-1',
  'bedrock.us-west-2.amazonaws.com': 'bedrock us-west-2',
  'bedrock-agentcore.us-west-2.amazonaws.com': 'bedrock-agentcore us-west-2',
  'SSM.eu-central-1.Amazonaws.COM:443': 'ssm eu-central-1',
  'sts.amazonaws.com': 'sts us-east-1',
  'sts.us-gov-west-1.amazonaws.com': 'sts us-gov-west-1',
  'sts-fips.us-east-1.amazonaws.com': 'sts us-east-1',
  'iam.amazonaws.com': 'iam us-east-1',
  'iam.us-gov.amazonaws.com': 'iam us-gov-west-1',
  'iam.cn-north-1.amazonaws.com.cn': 'iam cn-north-1',
  'iam.amazonaws.com.cn': 'iam cn-north-1',
  'iam.global.api.aws': 'iam us-east-1',
  'global.health.amazonaws.com': 'health us-east-1',
  'route53.amazonaws.com': 'route53 us-east-1',
  'route53.amazonaws.com.cn': 'route53 cn-northwest-1',
  'globalaccelerator.amazonaws.com': 'globalaccelerator us-west-2',
  'networkmanager.us-west-2.amazonaws.com': 'networkmanager us-west-2',
  'ec2.us-east-1.api.aws': 'ec2 us-east-1',
  'eks-auth.ap-southeast-4.api.aws': 'eks-auth ap-southeast-4',
  'api.ecr.us-east-1.amazonaws.com': 'ecr us-east-1',
  'email.us-east-1.amazonaws.com': 'ses us-east-1',
  'runtime.sagemaker.us-east-1.amazonaws.com': 'sagemaker us-east-1',
  'streams.dynamodb.us-east-1.amazonaws.com': 'dynamodb us-east-1',
  '123456789012.ddb.us-east-1.amazonaws.com': 'dynamodb us-east-1',
  'appsync-api.us-east-1.amazonaws.com': 'appsync us-east-1',
  'abc123.appsync-api.us-east-1.amazonaws.com': 'appsync us-east-1',
  'aps-workspaces.eu-central-1.amazonaws.com': 'aps eu-central-1',
  'transcribestreaming.us-east-1.amazonaws.com': 'transcribe us-east-1',
  'constructor.us-east-1.amazonaws.com': 'constructor us-east-1',
  'iot.us-east-1.amazonaws.com': 'iot us-east-1',
  'a1b2c3-ats.iot.us-east-1.amazonaws.com': 'iotdata us-east-1',
  'a1b2c3.iot.us-east-1.amazonaws.com': 'iotdata us-east-1',
  'a1b2c3.jobs.iot.us-east-1.amazonaws.com': 'iot-jobs-data us-east-1',
  'data-ats.iot.us-east-1.amazonaws.com': 'iotdata us-east-1',
  'data.jobs.iot.us-east-1.amazonaws.com': 'iot-jobs-data us-east-1',
  'greengrass-ats.iot.us-east-1.amazonaws.com': 'greengrass us-east-1',
  'us-east-1.signin.aws.amazon.com': 'signin us-east-1',
  'eu-west-1.oauth.signin.aws': 'signin eu-west-1',
  'us-gov-west-1.signin-fips.amazonaws-us-gov.com': 'signin us-gov-west-1',
  'signin.us-east-1.amazonaws.com': 'signin us-east-1',
  'portal.sso.us-east-1.amazonaws.com': 'awsssoportal us-east-1',
  's3.amazonaws.com': 's3 us-east-1',
  's3.eu-west-1.amazonaws.com': 's3 eu-west-1',
  's3.amazonaws.com.cn': 's3 cn-north-1',
  's3.cn-north-1.amazonaws.com.cn': 's3 cn-north-1',
  's3-eu-west-1.amazonaws.com': 's3 eu-west-1',
  's3-fips-us-gov-west-1.amazonaws.com': 's3 us-gov-west-1',
  'bucket.s3.amazonaws.com': 's3 us-east-1',
  'bucket.with.dots.s3.eu-west-1.amazonaws.com': 's3 eu-west-1',
  'bucket.s3-us-west-2.amazonaws.com': 's3 us-west-2',
  'bucket.s3.dualstack.us-west-2.amazonaws.com': 's3 us-west-2',
  'bucket.s3-fips.us-east-2.amazonaws.com': 's3 us-east-2',
  'bucket.s3-fips.dualstack.us-east-2.amazonaws.com': 's3 us-east-2',
  'us-east-1.s3.eu-west-1.amazonaws.com': 's3 eu-west-1',
  'name-123.s3-accesspoint.us-east-1.amazonaws.com': 's3 us-east-1',
  'name-123.s3-accesspoint-fips.dualstack.us-gov-west-1.amazonaws.com': 's3 us-gov-west-1',
  'name-123.op-1.s3-outposts.us-east-1.amazonaws.com': 's3-outposts us-east-1',
  'bucket.s3.us-iso-east-1.c2s.ic.gov': 's3 us-iso-east-1',
  'sts.eusc-de-east-1.amazonaws.eu': 'sts eusc-de-east-1',
  '123.s3-control.us-east-1.amazonaws.com': 's3 us-east-1',
  'b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com': 's3express us-east-1',
  'name-123.s3-object-lambda.us-east-1.amazonaws.com': 's3-object-lambda us-east-1',
  'bucket.vpce-1a2b-x.s3.us-east-1.vpce.amazonaws.com': 's3 us-east-1',
  'vpce-1a2b-x.ssm.us-east-1.vpce.amazonaws.com': 'ssm us-east-1',
  'accesspoint.vpce-1a2b-x.s3.us-east-1.vpce.amazonaws.com': 's3 us-east-1',
  'vpce-1a2b-x.execute-api.us-east-1.vpce.amazonaws.com': 'execute-api us-east-1',
  'vpce-1a2b-x.bedrock-runtime.us-east-1.vpce.amazonaws.com': 'bedrock us-east-1',
  'abc123.execute-api.us-east-1.amazonaws.com': 'execute-api us-east-1',
  'abc123.execute-api.cn-north-1.amazonaws.com.cn': 'execute-api cn-north-1',
  'abc123.lambda-url.us-east-1.on.aws': 'lambda us-east-1',
  'search-d-x.eu-west-1.es.amazonaws.com': 'es eu-west-1',
  'x.eu-west-1.aoss.amazonaws.com': 'aoss eu-west-1',
  'search-d-x.aos.eu-west-1.on.aws': 'es eu-west-1',
  'x.aoss.eu-west-1.on.aws': 'aoss eu-west-1',
  'x.7d67968.vpc-lattice-svcs.us-west-2.on.aws': 'vpc-lattice-svcs us-west-2',
  'doc-films-x.us-east-1.cloudsearch.amazonaws.com': 'cloudsearch us-east-1',
  'd.cluster-x.us-east-1.neptune.amazonaws.com': 'neptune-db us-east-1',
  'us-east-1.queue.amazonaws.com': 'sqs us-east-1',
  'unheard-of.mx-central-1.api.aws': 'unheard-of mx-central-1',
  // Signature Version 4A alone.
  'x.mrap.accesspoint.s3-global.amazonaws.com': 's3 us-east-1 *',
  'x.veo.endpoint.events.amazonaws.com': 'events us-east-1 *',
  'x.mrep.endpoints.email.global.api.aws': 'ses us-east-1 *',
  '123456789012.cloudfront-kvs.global.api.aws': 'cloudfront-keyvaluestore us-east-1 *',
  // Customers' own machines, and names that do not tell.
  'lb-1.us-east-1.elb.amazonaws.com': undefined,
  'lb-1.elb.us-east-1.amazonaws.com': undefined,
  'ec2-1-2-3-4.compute-1.amazonaws.com': undefined,
  'ec2-1-2-3-4.eu-west-1.compute.amazonaws.com': undefined,
  'bucket.s3-website.eu-west-1.amazonaws.com': undefined,
  'bucket.s3-website-eu-west-1.amazonaws.com': undefined,
  'bucket.s3-accelerate.amazonaws.com': undefined,
  'bucket.s3-accelerate.dualstack.amazonaws.com': undefined,
  'vpce-1a2b-x.vpce-svc-3c4d.us-east-1.vpce.amazonaws.com': undefined,
  'db.x.us-east-1.rds.amazonaws.com': undefined,
  'x.gr7.us-east-1.eks.amazonaws.com': undefined,
  'x.cloudfront.net': undefined,
  'x.us-east-1.elasticbeanstalk.com': undefined,
  // Two services answer there.
  'routes.geo.us-east-1.amazonaws.com': undefined,
  'us-east-1.amazonaws.com': undefined,
  'amazonaws.com': undefined,
  '.amazonaws.com': undefined,
  'a..amazonaws.com': undefined,
  'x.on.aws': undefined,
  'ssm.us-east-1.amazonaws.com.example.org': undefined,
  'ssm.us-east-1.evilamazonaws.com': undefined,
  'rgw.internal:7480': undefined,
  '10.0.0.1': undefined,
}

for (const [host, scope] of Object.entries(scopes)) {
  test(`${host} is signed for ${scope ?? 'nobody knows what'}`, () => {
    const derived = deriveSigningScope(host)
    const { service, region, regionSet } = derived ?? {}
    assert.equal(derived && [service, region, regionSet ?? []].flat().join(' '), scope)
  })
}

/** Hosts under which Amazon Location answers for an older API and for newer ones, with a signing name for each. */
const ambiguous = /^(?:maps|places|routes)\.geo(?:-fips)?\./

/** Drawn from what botocore's own resolver answers (test/peers/endpoints.py, which the peers' test runs whole). */
const sample = readFileSync(new URL('endpoint-sample.txt', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')

test(`the ${sample.length} endpoints of a sample of all services are signed for what botocore says`, () => {
  for (const line of sample) {
    const [host = '', service, region, algorithm] = line.split(' ')
    const derived = deriveSigningScope(host)
    if (ambiguous.test(host)) {
      assert.equal(derived, undefined, host)
      continue
    }
    const asked = derived && [derived.service, derived.regionSet ?? derived.region]
    assert.deepEqual(asked, [service, region], host)
    assert.equal(derived?.regionSet !== undefined, algorithm === 'v4a', host)
  }
})

test('of names that nobody knows, those in a region of AWS give their label, and no name a scope that is none', () => {
  const label = fc.stringMatching(/^[a-z0-9_-]{0,12}$/)
  const known = fc.constantFrom(
    's3',
    'vpce',
    'eu-west-1',
    'global',
    'fips',
    'es',
    'iot',
    'us-gov',
    'toString',
  )
  const suffix = fc.constantFrom('amazonaws.com', 'api.aws', 'on.aws', 'amazonaws.com.cn', 'example.org')
  fc.assert(
    fc.property(fc.array(fc.oneof(label, known), { maxLength: 5 }), suffix, (labels, ending) => {
      const derived = deriveSigningScope([...labels, ending].join('.'))
      if (!derived) return
      assert.match(derived.service, /^[\w-]+$/)
      assert.match(derived.region, /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/)
    }),
  )
})
