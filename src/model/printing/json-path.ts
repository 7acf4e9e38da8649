import { Fault } from '#base/errors'

/**
 * JSONPath templates as `kubectl -o jsonpath` takes them: text with `{...}` expressions, where an expression is
 * a path (`.spec.a`, `['key']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `..name`, `[?(@.type=="Ready")]`), a quoted
 * string, or `range PATH` ... `end`. A missing field yields nothing.
 */
export function evaluateJsonPath(template: string, root: unknown): string {
  // kubectl takes a bare path too.
  const text = template.includes('{') ? template : `{${template.startsWith('.') ? '' : '.'}${template}}`
  return renderNodes(parseTemplate(text), root)
}

/** The values at a path such as `.spec.addresses[*].address`, each as text. */
export function textsAt(path: string, root: unknown): string[] {
  return evaluate(parsePath(path, path).steps, root).map(textOf)
}

type Step =
  | { type: 'field'; name: string }
  | { type: 'wildcard' }
  | { type: 'descend'; name: string }
  | { type: 'slice'; from: number | undefined; to: number | undefined }
  | { type: 'index'; at: number }
  | { type: 'filter'; path: Step[]; operator: string; operand: unknown }

type Path = { steps: Step[] }
type Node =
  | { type: 'text'; text: string }
  | { type: 'path'; path: Path }
  | { type: 'range'; path: Path; body: Node[] }

function broken(template: string, why: string): Fault {
  return new Fault('RESOURCE_INVALID', `jsonpath ${JSON.stringify(template)}: ${why}`)
}

function unquote(text: string): string {
  const body = text.slice(1, -1)
  return body.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c === 't' ? '\t' : c))
}

function parseTemplate(template: string): Node[] {
  const top: Node[] = []
  const open: Node[][] = [top]
  const pattern = /\{((?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^{}'"])*)\}|([^{}]+)|[{}]/gs
  for (const match of template.matchAll(pattern)) {
    const [, expression, text] = match
    const current = open.at(-1)!
    if (text !== undefined) current.push({ type: 'text', text })
    else if (expression === undefined) throw broken(template, 'unbalanced braces')
    else {
      const trimmed = expression.trim()
      if (trimmed === 'end') {
        if (open.length === 1) throw broken(template, '{end} without {range}')
        open.pop()
      } else if (trimmed.startsWith('range ')) {
        const body: Node[] = []
        current.push({ type: 'range', path: parsePath(template, trimmed.slice(6).trim()), body })
        open.push(body)
      } else if (/^(['"]).*\1$/s.test(trimmed)) current.push({ type: 'text', text: unquote(trimmed) })
      else current.push({ type: 'path', path: parsePath(template, trimmed) })
    }
  }
  if (open.length > 1) throw broken(template, '{range} without {end}')
  return top
}

function parsePath(template: string, text: string): Path {
  const steps: Step[] = []
  let rest = text
  rest = rest.replace(/^[$@]/, '')
  while (rest !== '' && rest !== '.') {
    const matched =
      /^\.\.(?<descend>[\w-]+)/.exec(rest) ??
      /^\.?\[(?<quoted>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\]/.exec(rest) ??
      /^\.?\[(?<star>\*)\]/.exec(rest) ??
      /^\.?\[(?<from>-?\d*):(?<to>-?\d*)\]/.exec(rest) ??
      /^\.?\[(?<index>-?\d+)\]/.exec(rest) ??
      /^\.?\[\?\(\s*@(?<left>[^=!<>\s)]+)\s*(?:(?<operator>==|!=|<=|>=|<|>)\s*(?<right>[^)]+?)\s*)?\)\]/.exec(
        rest,
      ) ??
      /^\.(?<star>\*)/.exec(rest) ??
      /^\.?(?<field>(?:\\.|[^.[\]\\\s])+)/.exec(rest)
    if (!matched?.groups || matched[0] === '') throw broken(template, `cannot read ${JSON.stringify(rest)}`)
    steps.push(stepOf(template, matched.groups))
    rest = rest.slice(matched[0].length)
  }
  return { steps }
}

function stepOf(template: string, groups: Record<string, string | undefined>): Step {
  const { descend, quoted, star, from, to, index, left, operator, right, field } = groups
  if (descend !== undefined) return { type: 'descend', name: descend }
  if (quoted !== undefined) return { type: 'field', name: unquote(quoted) }
  if (star !== undefined) return { type: 'wildcard' }
  if (index !== undefined) return { type: 'index', at: Number(index) }
  if (from !== undefined) {
    return { type: 'slice', from: from ? Number(from) : undefined, to: to ? Number(to) : undefined }
  }
  if (left !== undefined) {
    const operand = right === undefined ? undefined : /^['"]/.test(right) ? unquote(right) : JSON.parse(right)
    return { type: 'filter', path: parsePath(template, left).steps, operator: operator ?? 'exists', operand }
  }
  return { type: 'field', name: field!.replaceAll(/\\(.)/g, '$1') }
}

function childrenOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  return typeof value === 'object' && value !== null ? Object.values(value) : []
}

function fieldOf(value: unknown, name: string): unknown[] {
  const known =
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
  return known ? [(value as Record<string, unknown>)[name]] : []
}

function descendants(value: unknown, name: string): unknown[] {
  return [...fieldOf(value, name), ...childrenOf(value).flatMap((child) => descendants(child, name))]
}

function compare(left: unknown, operator: string, right: unknown): boolean {
  switch (operator) {
    case '==':
      return left === right
    case '!=':
      return left !== right
    case '<':
      return Number(left) < Number(right)
    case '>':
      return Number(left) > Number(right)
    case '<=':
      return Number(left) <= Number(right)
    case '>=':
      return Number(left) >= Number(right)
    default:
      return left !== undefined
  }
}

function applyStep(value: unknown, step: Step): unknown[] {
  switch (step.type) {
    case 'field':
      return fieldOf(value, step.name)
    case 'wildcard':
      return childrenOf(value)
    case 'descend':
      return descendants(value, step.name)
    case 'index': {
      const item = Array.isArray(value) ? value.at(step.at) : undefined
      return item === undefined ? [] : [item]
    }
    case 'slice':
      return Array.isArray(value) ? value.slice(step.from, step.to) : []
    case 'filter':
      return childrenOf(value).filter((child) =>
        compare(evaluate(step.path, child)[0], step.operator, step.operand),
      )
    default:
      throw new TypeError('unknown step', { cause: step satisfies never })
  }
}

function evaluate(steps: readonly Step[], start: unknown): unknown[] {
  return steps.reduce<unknown[]>((values, step) => values.flatMap((value) => applyStep(value, step)), [start])
}

function textOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}

function renderNodes(nodes: readonly Node[], current: unknown): string {
  return nodes
    .map((node) => {
      if (node.type === 'text') return node.text
      // Inside a range a path starts at the item, as kubectl has it, whether written with @ or not.
      const values = evaluate(node.path.steps, current)
      if (node.type === 'path') return values.map(textOf).join(' ')
      return values.map((value) => renderNodes(node.body, value)).join('')
    })
    .join('')
}
