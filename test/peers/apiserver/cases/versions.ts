import type { Case } from '../exchange.ts'
import { service, servicesIn, table, types } from './objects.ts'

const all = servicesIn('versions')
const made = (name: string): Case => ({
  name: `create ${name}`,
  method: 'POST',
  path: all,
  body: service({ name, labels: { app: 'one' } }),
  as: name,
})
const becomes = (name: string, app: string, times = ''): Case => ({
  name: `${name} becomes ${app}${times}`,
  method: 'PATCH',
  path: `${all}/${name}`,
  type: types.merge,
  body: { metadata: { labels: { app } } },
  as: 'last',
})
const gone = (name: string): Case => ({
  name: `${name} is deleted`,
  method: 'DELETE',
  path: `${all}/${name}`,
})
const list = (name: string, query: string, more: Partial<Case> = {}): Case => ({
  name,
  path: `${all}?${query}`,
  ...more,
})
const watch = (name: string, query: string): Case => ({
  name,
  path: `${all}?watch=true&timeoutSeconds=1&${query}`,
  endsAfterMs: 1500,
})

const past = 'resourceVersion=<b.metadata.resourceVersion>'
const beginning = 'resourceVersion=<a.metadata.resourceVersion>'
const known = {
  none: '',
  zero: 'resourceVersion=0',
  past,
  'the present': 'resourceVersion=<last.metadata.resourceVersion>',
  'the future': 'resourceVersion=99999999',
}
const malformed = {
  text: 'resourceVersion=abc',
  'a negative one': 'resourceVersion=-5',
  'one beyond all': 'resourceVersion=99999999999999999999',
}
const matches = {
  '': '',
  ', exactly': 'resourceVersionMatch=Exact',
  ', not older': 'resourceVersionMatch=NotOlderThan',
  ', otherwise': 'resourceVersionMatch=exact',
}
const limits = { '': '', ', two of them': 'limit=2' }
const starts = {
  '': '',
  ', with what there is': 'sendInitialEvents=true',
  ', without what there is': 'sendInitialEvents=false',
}

type Choices = Readonly<Record<string, string>>

/** Every way to choose one of each: names and queries. */
function combined(...choices: readonly Choices[]): readonly (readonly [name: string, query: string])[] {
  return choices.reduce<readonly (readonly [string, string])[]>(
    (found, choice) =>
      found.flatMap(([name, query]) =>
        Object.entries(choice).map(
          ([more, also]) => [name + more, [query, also].filter(Boolean).join('&')] as const,
        ),
      ),
    [['', '']],
  )
}

const lists = (prefix: string, versions: Choices) =>
  combined(versions, matches, limits).map(([name, query]) => list(`${prefix} ${name}`, query))

const watches = (prefix: string, versions: Choices) =>
  combined(versions, matches, starts).map(([name, query]) =>
    watch(`${prefix} ${name}`, `allowWatchBookmarks=true&${query}`),
  )

export const versions = table('versions', [
  made('a'),
  made('b'),
  made('c'),
  becomes('a', 'two'),
  becomes('a', 'one', ' again'),
  becomes('c', 'two'),
  made('d'),
  gone('d'),
  becomes('b', 'two'),
  ...lists('list of', { ...known, ...malformed, 'an empty one': 'resourceVersion=' }),
  list('a part', 'limit=2', { as: 'part' }),
  list('the rest, of 0', 'limit=2&resourceVersion=0&continue=<part.metadata.continue>'),
  list('the rest, of -1', 'limit=2&resourceVersion=-1&continue=<part.metadata.continue>'),
  list('all of the rest', 'continue=<part.metadata.continue>'),
  list(
    'the rest, not older',
    'continue=<part.metadata.continue>&resourceVersion=0&resourceVersionMatch=NotOlderThan',
  ),
  list('the rest by label', 'continue=<part.metadata.continue>&labelSelector=app%3Dtwo'),

  watch('into and out of a label', `${beginning}&labelSelector=app%3Dtwo`),
  watch('out of and into another', `${beginning}&labelSelector=app%3Done`),
  watch('out of sight by deletion', `${beginning}&fieldSelector=metadata.name%3Dd`),
  watch('what is not selected', `${beginning}&labelSelector=app!%3Done&fieldSelector=metadata.name!%3Dd`),
  ...watches('watch from', { ...known, text: malformed.text }),

  list('the rest of what is forgotten', 'limit=2&continue=<part.metadata.continue>', {
    as: 'expired',
    forgets: true,
  }),
  list('the rest as it is', 'limit=2&continue=<expired.metadata.continue>'),
  ...lists('forgotten, list of', { past }),
  ...watches('forgotten, watch from', { 'the first': 'resourceVersion=1' }),
])
