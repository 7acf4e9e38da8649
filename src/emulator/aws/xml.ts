/** A value as XML content: an object's entries become elements, a list repeats its element, undefined is left out. */
export type XmlValue =
  | string
  | number
  | boolean
  | undefined
  | readonly XmlValue[]
  | { readonly [element: string]: XmlValue }

/** Writes an XML document with one root element in namespace `xmlns`. */
export function xmlDocument(root: string, xmlns: string | undefined, value: XmlValue): string {
  const attribute = xmlns === undefined ? '' : ` xmlns="${xmlns}"`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${attribute}>${content(value)}</${root}>`
}

function content(value: XmlValue): string {
  if (value === undefined) return ''
  if (typeof value !== 'object') return escapeXml(String(value))
  return Object.entries(value)
    .map(([name, child]) => elements(name, child))
    .join('')
}

function elements(name: string, value: XmlValue): string {
  if (value === undefined) return ''
  if (Array.isArray(value)) return value.map((each: XmlValue) => elements(name, each)).join('')
  return `<${name}>${content(value)}</${name}>`
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
}

function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"\r]/g, (character) => entities[character] ?? character)
}
