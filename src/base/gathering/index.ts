/**
 * Holds bytes that come in parts until they are whole, in memory of about their number however small the parts are.
 * What they mean, and how many there may be, is for others to say.
 */
export { Gathering } from './gathering.ts'
