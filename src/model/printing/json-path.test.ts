import assert from 'node:assert/strict'
import { test } from 'node:test'
import { evaluateJsonPath } from './json-path.ts'

const object = {
  metadata: { name: 'node-1', labels: { 'app.kubernetes.io/name': 'x', 'a.b': 'dotted' } },
  spec: { workloadID: 'riptides/daemon/1' },
  status: {
    conditions: [
      { type: 'Ready', status: 'True', n: 3 },
      { type: 'Busy', status: 'False', n: 5 },
    ],
  },
}
const list = { items: [object, { metadata: { name: 'node-2' } }] }

// What kubectl prints for the same template and object; only the bare path without braces is our own leniency.
const cases: [template: string, value: unknown, expected: string][] = [
  ['{.spec.workloadID}', object, 'riptides/daemon/1'],
  ['.spec.workloadID', object, 'riptides/daemon/1'],
  ['{$.spec.workloadID}', object, 'riptides/daemon/1'],
  ['{.spec.absent}', object, ''],
  ["{.metadata.labels['app.kubernetes.io/name']}", object, 'x'],
  ['{.metadata.labels.a\\.b}', object, 'dotted'],
  ['{.status.conditions[?(@.type=="Ready")].status}', object, 'True'],
  ['{.status.conditions[?(@.n>3)].type}', object, 'Busy'],
  ['{.status.conditions[*].type}', object, 'Ready Busy'],
  ['{.status.conditions[-1].type}', object, 'Busy'],
  ['{.status.conditions[0:1].type}', object, 'Ready'],
  ['{.items[*].metadata.name}', list, 'node-1 node-2'],
  ['{range .items[*]}{.metadata.name}{"\\n"}{end}', list, 'node-1\nnode-2\n'],
  ['{..name}', list, 'node-1 node-2'],
  ['name={.metadata.name};', object, 'name=node-1;'],
  ['{.status.conditions[0]}', object, '{"type":"Ready","status":"True","n":3}'],
]

for (const [template, value, expected] of cases) {
  test(`jsonpath ${JSON.stringify(template)}`, () =>
    assert.equal(evaluateJsonPath(template, value), expected))
}

for (const template of ['{.a', '{range .items[*]}{.x}', '{end}', '{.a[}']) {
  test(`jsonpath ${template} is refused with its text`, () => {
    assert.throws(() => evaluateJsonPath(template, {}), { code: 'RESOURCE_INVALID' })
  })
}
