// A tab moves nothing but what comes behind it.
const invisible = /(?!\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * A text for a terminal, on one line.
 * SECURITY: names and messages are what others wrote: as they stand, they could pass for lines of ours, or clear the
 * screen. Whatever shows nothing by itself is shown by its number.
 */
export function shown(text: string): string {
  return text.replaceAll(invisible, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`)
}

/** As `shown`, of a text that has lines. */
export const shownLines = (text: string): string => text.split('\n').map(shown).join('\n')
