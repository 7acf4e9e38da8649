import { Fault } from '#base/errors'

/** An element without attributes and namespaces: what the answers of AWS's query APIs need. */
export interface XmlElement {
  readonly name: string
  readonly text: string
  readonly children: readonly XmlElement[]
}

const maxDepth = 16
const maxElements = 1000
const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const token =
  /<\?xml[^<>]*\?>|<\/([A-Za-z_][\w.:-]*)\s*>|<([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y

function malformed(detail: string): Fault {
  return new Fault('WIRE_MALFORMED', `answer is not the XML expected: ${detail}`)
}

function decode(text: string): string {
  return text.replaceAll(/&([^;]{0,8};?)/g, (_, reference: string) => {
    const name = reference.slice(0, -1)
    const code = /^#(\d{1,7})$/.exec(name)?.[1] ?? /^#x([0-9a-f]{1,6})$/i.exec(name)?.[1]
    if (reference.endsWith(';') && Object.hasOwn(entities, name)) return entities[name]!
    const point = code === undefined ? NaN : Number.parseInt(code, name.startsWith('#x') ? 16 : 10)
    if (!reference.endsWith(';') || !(point <= 0x10ffff)) throw malformed('unknown entity')
    return String.fromCodePoint(point)
  })
}

/**
 * Parses a small document. Declarations of types and entities, comments, CDATA and processing instructions are
 * refused: no answer of these services has any.
 * @throws Fault WIRE_MALFORMED
 */
export function parseXml(text: string): XmlElement {
  const root = { name: '', text: '', children: [] as XmlElement[] }
  const open = [root]
  let elements = 0
  token.lastIndex = 0
  while (token.lastIndex < text.length) {
    const start = token.lastIndex
    const match = token.exec(text)
    if (!match) throw malformed(`at offset ${start}`)
    const [whole, closing, opening, , selfClosing, characters] = match
    const current = open.at(-1)!
    if (characters !== undefined) {
      if (current === root && characters.trim() !== '') throw malformed('text outside of the element')
      current.text += decode(characters)
    } else if (closing !== undefined) {
      if (current === root || current.name !== closing) throw malformed(`unexpected </${closing}>`)
      open.pop()
    } else if (opening !== undefined) {
      if (++elements > maxElements || open.length > maxDepth) throw malformed('too many elements')
      if (current === root && root.children.length > 0) throw malformed('more than one element')
      const element = { name: opening, text: '', children: [] }
      current.children.push(element)
      if (selfClosing === '') open.push(element)
    } else if (start !== 0 || whole.length === 0) {
      throw malformed('misplaced declaration')
    }
  }
  if (open.length !== 1 || root.children.length !== 1) throw malformed('it is not complete')
  return root.children[0]!
}

/** The only child of that name at the end of the path, if there is one. */
export function childAt(element: XmlElement, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>((node, name) => {
    const found = node?.children.filter((child) => child.name === name)
    return found?.length === 1 ? found[0] : undefined
  }, element)
}
