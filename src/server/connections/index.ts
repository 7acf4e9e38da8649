/**
 * Connections to a port of the server whose peers have not shown who they are: few, and fairly shared among the
 * networks that they come from. It decides nothing about who may do what.
 */
export { nameOf, networkOf, openStrangers, type Remote, type Strangers } from './strangers.ts'
