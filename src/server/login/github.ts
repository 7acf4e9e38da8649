import { Fault } from '#base/errors'
import type { Secret } from '#base/secret'
import type { GitHubLogin } from '#model/resource'
import type { HttpAnswer, HttpClient } from '#server/exchange'

/** Who somebody is at a provider. */
export interface Identity {
  /** Never given to anyone else, unlike the name. */
  readonly id: string
  readonly username: string
  readonly groups: readonly string[]
}

const timeoutMs = 15_000
const pageSize = 100
const maxPages = 10

interface Team {
  readonly slug: string
  readonly name: string
  readonly organization: { readonly login: string }
}

// SECURITY: of ASCII alone, as in GitHub's slugs: the sign of Kelvin is a k in lower case, and any member of an
// organisation can make a team that has one in its name.
const lower = (text: string) => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
const same = (a: string, b: string) => lower(a) === lower(b)

function jsonOf({ body }: HttpAnswer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    throw new Fault('EXCHANGE_FAILED', 'GitHub answers with something other than JSON')
  }
}

/** Where a browser goes to log in at GitHub, or a GitHub Enterprise Server. */
export function authorizeUrl(
  { baseURL, clientID }: GitHubLogin,
  { state, challenge, redirectUri }: { state: string; challenge: string; redirectUri: string },
): string {
  const query = new URLSearchParams({
    client_id: clientID,
    redirect_uri: redirectUri,
    // Membership in organisations and teams, also where the member has not made it public.
    scope: 'read:org',
    state,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })
  return `${baseURL}/login/oauth/authorize?${query.toString()}`
}

/**
 * Who has logged in at GitHub: the user, and as groups those of the required organisations that he is an active
 * member of, by their names, with his teams in these as `ORG:TEAM` (those that are
 * listed, where any are). The token that tells is not kept.
 * @throws Fault EXCHANGE_FAILED when GitHub does not answer as it should, TOKEN_INVALID when the user is not let in
 */
export async function identify(
  { baseURL, apiURL, clientID, requiredOrgs }: GitHubLogin,
  given: { code: string; verifier: string; redirectUri: string },
  { http, clientSecret }: { http: Pick<HttpClient, 'request'>; clientSecret: Secret },
): Promise<Identity> {
  const signal = AbortSignal.timeout(timeoutMs)

  const exchanged = await http.request(new URL(`${baseURL}/login/oauth/access_token`), {
    method: 'POST',
    headers: { accept: 'application/json' },
    form: {
      client_id: clientID,
      client_secret: clientSecret.revealText(),
      code: given.code,
      redirect_uri: given.redirectUri,
      code_verifier: given.verifier,
    },
    signal,
  })
  const { access_token: token, error } = jsonOf(exchanged) as Record<string, unknown>
  if (typeof token !== 'string') {
    const why = typeof error === 'string' ? error : `status ${exchanged.status}`
    throw new Fault('EXCHANGE_FAILED', `GitHub gives no token for the login: ${why}`)
  }

  const get = (path: string) =>
    http.request(new URL(apiURL + path), {
      method: 'GET',
      headers: {
        accept: 'application/vnd.github+json',
        authorization: `Bearer ${token}`,
        'x-github-api-version': '2022-11-28',
      },
      signal,
    })
  async function read(path: string): Promise<unknown> {
    const answer = await get(path)
    if (answer.status === 200) return jsonOf(answer)
    throw new Fault('EXCHANGE_FAILED', `GitHub answers ${path.split('?', 1)[0]} with status ${answer.status}`)
  }

  async function isMember(org: string): Promise<boolean> {
    const answer = await get(`/user/memberships/orgs/${encodeURIComponent(org)}`)
    // Not a member, or the organisation does not let this application ask.
    if (answer.status === 404 || answer.status === 403) return false
    if (answer.status !== 200)
      throw new Fault('EXCHANGE_FAILED', `GitHub answers about ${org} with status ${answer.status}`)
    const { state, organization } = jsonOf(answer) as { state?: unknown; organization?: { login?: unknown } }
    return state === 'active' && typeof organization?.login === 'string' && same(organization.login, org)
  }

  async function teams(): Promise<Team[]> {
    const found: Team[] = []
    for (let page = 1; page <= maxPages; page++) {
      const items = (await read(`/user/teams?per_page=${pageSize}&page=${page}`)) as Team[]
      found.push(...items)
      if (items.length < pageSize) break
    }
    return found
  }

  const { id, login: username } = (await read('/user')) as { id?: unknown; login?: unknown }
  if (typeof id !== 'number' || typeof username !== 'string')
    throw new Fault('EXCHANGE_FAILED', 'GitHub does not say who the user is')
  const memberships = await Promise.all(requiredOrgs.map(({ name }) => isMember(name)))
  const orgs = requiredOrgs.filter((_, index) => memberships[index])
  const all = orgs.length === 0 ? [] : await teams()
  const groups = orgs.flatMap(({ name: org, teams: wanted = [] }) => {
    const own = all.filter(({ organization }) => same(organization.login, org))
    const isWanted = ({ slug, name }: Team) => wanted.some((team) => same(team, slug) || same(team, name))
    const counting = wanted.length > 0 ? own.filter(isWanted) : own
    if (wanted.length > 0 && counting.length === 0) return []
    return [org, ...counting.map(({ slug }) => `${org}:${slug}`)]
  })
  if (groups.length === 0) {
    const names = requiredOrgs.map(({ name }) => name).join(', ')
    throw new Fault('TOKEN_INVALID', `${username} is in none of the organisations and teams of ${names}`)
  }
  return { id: String(id), username, groups }
}
