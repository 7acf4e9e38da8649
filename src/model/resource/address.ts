import { invalid, type FieldError } from './field-error.ts'

const dnsName =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i
const ipv4 = /^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/

// Suffixes under which any tenant can host code of its own and so would receive signed requests; `*` is one label.
const tenantSuffixes = [
  'execute-api.*.amazonaws.com',
  'lambda-url.*.on.aws',
  'elb.amazonaws.com',
  '*.elb.amazonaws.com',
  'elb.*.amazonaws.com',
  'compute.amazonaws.com',
  '*.compute.amazonaws.com',
  'cloudfront.net',
  'elasticbeanstalk.com',
  '*.elasticbeanstalk.com',
  '*.awsapprunner.com',
  'amplifyapp.com',
  '*.es.amazonaws.com',
  'run.app',
  '*.run.app',
  'cloudfunctions.net',
  'appspot.com',
  '*.r.appspot.com',
  'web.app',
  'azurewebsites.net',
  'azure-api.net',
  'azurefd.net',
  '*.cloudapp.azure.com',
  '*.azurecontainerapps.io',
  'trafficmanager.net',
  'workers.dev',
  'pages.dev',
  'github.io',
  'vercel.app',
  'netlify.app',
  'herokuapp.com',
  'fly.dev',
  'ngrok.io',
  'ngrok.app',
  'ngrok-free.app',
].map((suffix) => new RegExp(`^${suffix.replaceAll('.', '\\.').replaceAll('*', '[^.]+')}$`, 'i'))

// Under a country: what its registry gives names in, such as co.uk. Rare ones are missing; the public suffix list
// has them all, changes weekly, and would have to be kept.
const registries = new Set(
  'ac asn co com edu firm gen go gob gouv gov ind info ltd me mil ne net nhs nom or org plc pol sch'.split(
    ' ',
  ),
)

/** Whether names below `name` belong to whoever buys one: a top-level domain, or a registry's part of a country. */
export function isPublicSuffix(name: string): boolean {
  const labels = name.toLowerCase().split('.')
  const [registry = '', country = ''] = labels
  return labels.length === 1 || (labels.length === 2 && country.length === 2 && registries.has(registry))
}

/** Whether `text` is an IPv4 or IPv6 address in a usual spelling. */
export function isIpAddress(text: string): boolean {
  return (
    ipv4.test(text) ||
    (text.includes(':') && /^[0-9a-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]/`))
  )
}

/** Lower-case, as hosts are compared. */
export function normalizeHost(text: string): string {
  return text.toLowerCase()
}

/**
 * Rules for one address of a Service: an IP address, a DNS name, or `*.` and a DNS name, where `*` stands for one
 * label. SECURITY: rule 14; a wildcard over a public or shared suffix would send credentials to strangers.
 */
export function checkAddress(path: string, text: string, wildcardReason: string | undefined): FieldError[] {
  if (isIpAddress(text)) return []
  const wildcard = text.startsWith('*.')
  const name = wildcard ? text.slice(2) : text
  if (!dnsName.test(name) || /(^|\.)\d+$/.test(name)) {
    return [invalid(path, text, 'must be a DNS name, an IP address, or a DNS name whose leftmost label is *')]
  }
  if (!wildcard || wildcardReason !== undefined) return []
  if (isPublicSuffix(name)) {
    return [
      invalid(
        path,
        text,
        `everyone who has a name under ${name} would receive signed requests; name the hosts, or say why this is ` +
          'safe in wildcardReason beside it',
      ),
    ]
  }
  if (tenantSuffixes.some((suffix) => suffix.test(name))) {
    return [
      invalid(
        path,
        text,
        `anyone can host under ${name}; name the hosts, or say why this is safe in wildcardReason beside it`,
      ),
    ]
  }
  return []
}
