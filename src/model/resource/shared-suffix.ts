import { getPublicSuffix } from 'tldts'

// Suffixes under which any tenant can host code of its own, and that are not on the public suffix list.
const hosting =
  /^(elb\.[^.]+\.amazonaws\.com|[^.]+\.es\.amazonaws\.com|[^.]+\.cloudapp\.azure\.com|[^.]+\.azurecontainerapps\.io)$/

// On the list because the names below are told apart like those of strangers, yet each of them is answered by AWS
// itself and none by a tenant: the services of a region, and the REST endpoints of S3 with a bucket as first label.
// Websites and Object Lambdas of S3 are not among them.
const region = '[a-z]{2}(-[a-z]+)+-\\d'
const answeredByAws = new RegExp(
  `^((s3(-accesspoint)?(-fips)?(\\.dualstack)?\\.)?${region}|s3(-${region})?)\\.amazonaws\\.com(\\.cn)?$`,
)

/** Whether the public suffix list has `name`, or all that is directly below it. */
function isPublicSuffix(name: string, allowPrivateDomains: boolean): boolean {
  const options = { allowPrivateDomains, extractHostname: false, validateHostname: false }
  // Some rules are of the form `*.ck`; this label is in none of the exceptions to them.
  return [name, `any--label.${name}`].some((host) => getPublicSuffix(host, options) === host)
}

/**
 * What is wrong with `*.` before a DNS name; undefined when nothing is. Both parts of the public suffix list
 * (publicsuffix.org) count: where registries give out names, and where companies let strangers host.
 */
export function wildcardDanger(text: string): string | undefined {
  const name = text.toLowerCase()
  if (isPublicSuffix(name, false))
    return `everyone who has a name under ${name} would receive signed requests`
  if (hosting.test(name) || (isPublicSuffix(name, true) && !answeredByAws.test(name))) {
    return `anyone can host under ${name}`
  }
  return undefined
}
