/**
 * What follows from objects coming and going: dependents are deleted with the last of their owners, or before it,
 * or lose it, as the deletion asked; a namespace that is deleted takes along what lies in it; one that is used
 * gets an object of its own; changes of state are told as events, which are forgotten after an hour. One server
 * of several is enough, and several do no harm. It decides nothing about what objects mean (`#server/reconcile`).
 */
export { namespaceAdmission } from './namespace-admission.ts'
export { openLifecycle, type Lifecycle } from './lifecycle.ts'
