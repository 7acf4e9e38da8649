/**
 * How connections to a port of the server are accepted, and kept few while their peers have not shown who they are,
 * fairly shared among the networks that they come from. It decides nothing about who may do what.
 */
export { nameOf, networkOf, openStrangers, type Remote, type Strangers } from './strangers.ts'
export { openListeners, type Listeners } from './listeners.ts'
