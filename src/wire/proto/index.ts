/**
 * The messages between daemon and control plane, generated from node.proto (`npm run proto`).
 * It holds no meaning of its own: `#model/scope` turns messages into values and back.
 */
export * from './generated/node_pb.js'
