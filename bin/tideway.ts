import { runCli } from '#cli/commands'

process.exitCode = await runCli(process.argv.slice(2))
