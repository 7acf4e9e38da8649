import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAge, formatInstant } from './age.ts'

const [minute, hour, day] = [60, 3600, 86_400]

test('ages are those that kubectl shows', () => {
  const cases: [seconds: number, shown: string][] = [
    [-5, '0s'],
    [0, '0s'],
    [119, '119s'],
    [2 * minute, '2m'],
    [9 * minute + 59, '9m59s'],
    [10 * minute + 59, '10m'],
    [179 * minute, '179m'],
    [3 * hour, '3h'],
    [7 * hour + 59 * minute, '7h59m'],
    [47 * hour, '47h'],
    [2 * day, '2d'],
    [7 * day + 23 * hour, '7d23h'],
    [8 * day + 23 * hour, '8d'],
    [729 * day, '729d'],
    [2 * 365 * day, '2y'],
    [3 * 365 * day + 40 * day, '3y40d'],
    [8 * 365 * day + 40 * day, '8y'],
  ]
  for (const [seconds, shown] of cases) assert.equal(formatAge(0, seconds * 1000), shown)
  assert.equal(formatAge(NaN, 0), '<unknown>')
  assert.equal(formatInstant(5000, 0), 'in 5s')
  assert.equal(formatInstant(0, 5000), '5s')
})
