/** `--keep`: everything stays up, an application writes again, and the next commands are printed. */
import path from 'node:path';
import { WALFERRY } from '../package.ts';
import { ledgerOf, type Stage } from './stage.ts';
import { WriterProcess } from './writer-process.ts';

/** Starts the writer again and prints what to try in another terminal. */
export function leaveRunning(stage: Stage, rate: number, say: (line: string) => void): void {
  const { cluster } = stage;
  const ledger = ledgerOf(stage);
  const writer = WriterProcess.start(cluster.places.data, {
    ...{ service: 'source', or: 'target', rate },
    // The same one: rows that the demo's writer has changed last would be in no other.
    ledger,
  });
  say(`
Everything keeps running; the application writes to "source" again (process ${writer.pid}).
Web UI: ${cluster.uiAddress}

In another terminal, in this folder:

  . ${cluster.environmentFile}
  ${WALFERRY} tail source --table person    # changes as they commit
  psql service=target -c 'select count(*) from person'

Repeat it by hand. Empty the target, then start, watch, pause, resume:

  psql service=target -c 'drop schema public cascade' -c 'create schema public'
  echo '{"source": "source", "target": "target", "fence": "trigger"}' > migration.json
  temporal workflow start --type migrateDatabase --task-queue walferry \\
    --workflow-id orders --input-file migration.json --fail-existing \\
    --static-summary 'orders: source to target'
  ${WALFERRY} watch orders
  temporal workflow update execute -w orders --name pause
  temporal workflow update execute -w orders --name resume

Compare every row, and cut over; the application is refused and then writes to "target":

  temporal workflow update execute -w orders --name verify
  temporal workflow update execute -w orders --name cutover
  kill ${writer.pid}                                # the application
  ${WALFERRY} writer check target --ledger ${path.relative(process.cwd(), ledger)}

Stop everything:

  ${WALFERRY} cluster down`);
}
