// Ends when its parent has said whether to keep what is attached; a parent that just ended did not.
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { releaseCapture } from '#daemon/capture'

// A service manager stops us together with our parent: what is attached must go first.
process.on('SIGTERM', () => {})
process.on('SIGINT', () => {})
if ((await text(process.stdin)) !== 'keep') releaseCapture(process.argv[2]!)
