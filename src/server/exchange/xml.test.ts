import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isFault } from '#base/errors'
import { childAt, parseXml } from './xml.ts'

test('elements, text and entities are read; attributes and the declaration are passed over', () => {
  const root = parseXml(
    `<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="https://x/"><B>a&amp;b &#x41;&#66;</B><C k='v'/><D> x </D></A>\n`,
  )
  assert.equal(root.name, 'A')
  assert.equal(childAt(root, 'B')?.text, 'a&b AB')
  assert.equal(childAt(root, 'C')?.text, '')
  assert.equal(childAt(root, 'D')?.text, ' x ')
  assert.equal(childAt(root, 'B', 'C'), undefined)
})

test('of two elements with one name none is taken', () => {
  assert.equal(childAt(parseXml('<A><B>1</B><B>2</B></A>'), 'B'), undefined)
})

test('what is not such a document is refused', () => {
  const documents = [
    '',
    'text',
    '<A>',
    '</A>',
    '<A></B>',
    '<A/><B/>',
    '<A/>text',
    '<A><!-- --></A>',
    '<A><![CDATA[x]]></A>',
    '<!DOCTYPE A [<!ENTITY x "y">]><A>&x;</A>',
    '<A>&x;</A>',
    '<A>&amp</A>',
    '<A>&#xffffff;</A>',
    '<A><?pi?></A>',
    '<A b=c/>',
    '<A><B></A></B>',
    '<A>'.repeat(100) + '</A>'.repeat(100),
    `<A>${'<B/>'.repeat(2000)}</A>`,
  ]
  for (const document of documents) {
    assert.throws(
      () => parseXml(document),
      (error) => isFault(error, 'WIRE_MALFORMED'),
      document,
    )
  }
})

test('any text is either read or refused, in time that grows with its length', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '/',
    'A',
    '=',
    '"',
    "'",
    '&',
    ';',
    ' ',
    '<A>',
    '</A>',
    '<A b="',
    '<?xml ?>',
    '&#1',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 300 }), (pieces) => {
      try {
        parseXml(pieces.join(''))
      } catch (error) {
        assert.ok(isFault(error, 'WIRE_MALFORMED'), String(error))
      }
    }),
  )
  const started = performance.now()
  assert.throws(() => parseXml(`<A ${' b '.repeat(80_000)}`))
  assert.throws(() => parseXml(`<A ${'b="c" '.repeat(40_000)}`))
  assert.throws(() => parseXml(`<A${' '.repeat(250_000)}`))
  assert.ok(performance.now() - started < 2_000)
})
