/** The demo from the first row to the result: a migration under load with two kills, a cutover, and the way back. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { count } from '../../../workflows/wording.ts';
import { cleanUp } from '../../cleanup/cleaner.ts';
import { compare } from '../../compare/databases.ts';
import { Observer } from '../../watch/observer.ts';
import { isOpen, type Sample } from '../../watch/sample.ts';
import { screenFor } from '../../watch/screen.ts';
import { connectTemporal } from '../../watch/temporal-client.ts';
import { prepare } from '../writer/application.ts';
import { checkLedger } from '../writer/check.ts';
import { Workers } from './cast.ts';
import { renderClosing, type Closing } from './closing.ts';
import { failings, type Shown } from './comparison.ts';
import { Evidence } from './evidence.ts';
import { Follower } from './follow.ts';
import { killInCopy, killInStream, provenInCopy, type Scene } from './kills.ts';
import { closingFacts, leftBehind } from './outcome.ts';
import { ledgerOf, type Stage } from './stage.ts';
import { storyLine } from './story-line.ts';
import { cutOver, replaceWriter, streamBack, switchBack, verifyUnderLoad } from './switches.ts';
import { commandLine, temporal } from './temporal-cli.ts';
import { WriterProcess } from './writer-process.ts';

export interface DemoSettings {
  readonly rows: number;
  readonly rate: number;
}

export interface DemoOutcome {
  /** Equal, nothing left behind, and both kills survived without repeated work; otherwise the output says why not. */
  readonly passed: boolean;
  readonly workflowId: string;
}

/** With fewer rows the default chunks are so few that no worker can be killed in the middle of the copy. */
const SMALL_ROWS = 1_500_000;
const PHASE_SECONDS = 120;

/**
 * @param say prints a line.
 * @throws Error when the migration does not complete.
 */
export async function runDemo(
  stage: Stage,
  settings: DemoSettings,
  stop: AbortSignal,
  say: (line: string) => void,
): Promise<DemoOutcome> {
  const { cluster } = stage;
  const data = cluster.places.data;
  const ledger = ledgerOf(stage);
  const { rate } = settings;
  const workers = new Workers(data);
  stop.throwIfAborted();
  // Two, because workers exist to share the work; they start while rows are created.
  const ready = Promise.all([workers.start(), workers.start()]);
  const seeded = prepare('source', settings.rows, say);
  const [[first, second]] = await unlessStopped(stop, Promise.all([ready, seeded]));
  say(`workers: ${first.name} (process ${first.pid}), ${second.name} (process ${second.pid})`);
  const application = WriterProcess.start(data, { service: 'source', or: 'target', rate, ledger });
  say(`an application writes ${rate} changes a second to "source" (process ${application.pid})`);
  say(`it notes every commit in ${relative(ledger)}`);

  const workflowId = await startMigration(stage, settings, say);
  const screen = screenFor(workflowId, process.stdout, storyLine);
  const tell = (line: string) => screen.say(line);
  try {
    await using client = await connectTemporal();
    await using evidence = await Evidence.open('target');
    const observer = new Observer(client, workflowId);
    await using follower = new Follower(observer, screen, stop);
    const scene = { workflowId, workers, follower, evidence, say: tell };

    const kills = await surviveKills(scene);
    const verification = await verifyUnderLoad(scene);
    const cutover = await cutOver(scene, application);
    await streamBack(scene);
    const onTarget = { service: 'target', rate, ledger };
    const { totals, next } = await replaceWriter(data, application, onTarget);
    tell(`    so far it ${totals}`);
    const switchback = await switchBack(scene, next);
    await follower.until('the end', PHASE_SECONDS, ended, 'may end');
    screen.end();
    const facts = await closingFacts(observer, follower.sample);
    const compared = await compareAll(say);
    say(`>>> the application goes back to "source" as well, and writes`);
    const onSource = { service: 'source', rate, ledger };
    const { totals: refused, next: last } = await replaceWriter(data, next, onSource);
    say(`    on "target" it ${refused}`);
    say(`    in the end it ${await last.stop()}`);
    const comparison = await checkLedger('source', ledger);
    for (const { table, key, what } of comparison.examples)
      say(`    ledger: ${table} ${key}: ${what}`);
    say(`$ walferry cleanup source target --workflow-id ${workflowId}`);
    await cleanUp('source', 'target', { workflowId, force: false });
    const left = await leftBehind();
    const isEqual = verification.startsWith('Equal');
    say(
      renderClosing({
        ...{ ...facts, verified: isEqual, cutover, switchback, compared },
        kills: Object.entries(kills).flatMap(([where, proof]) =>
          proof === 'proven' ? [where] : [],
        ),
        ledger: { holds: comparison.problems === 0, transactions: comparison.transactions },
      }),
    );
    const measured = cutover.downtime !== undefined && switchback.downtime !== undefined;
    const failed = failings({
      ...{ rows: settings.rows, kills, equal: compared.equal, verification, measured, left },
      ledgerProblems: comparison.problems,
    });
    for (const failing of failed) say(`FAILED: ${failing}`);
    return { passed: failed.length === 0, workflowId };
  } finally {
    screen.end();
  }
}

const ended = ({ status }: Sample) => (isOpen(status) ? undefined : true);

/** One worker dies in the copy, one while it streams. */
async function surviveKills(scene: Scene): Promise<Shown['kills']> {
  const { follower, say } = scene;
  const inCopy = await killInCopy(scene);
  await follower.until('the end of the copy', PHASE_SECONDS, ({ progress }) =>
    progress?.phase === 'indexes' || progress?.phase === 'stream' ? true : undefined,
  );
  const copy = inCopy ? await provenInCopy(scene, inCopy) : 'too late';
  if (copy === 'too late') {
    say('>>> the copy ended before a worker could be killed during it: use more --rows');
  }
  await follower.until('phase stream', PHASE_SECONDS, ({ progress }) =>
    progress?.phase === 'stream' ? true : undefined,
  );
  return { copy, stream: await killInStream(scene) };
}

/**
 * Row by row, by code that shares nothing with the copy, while the application is refused on the sealed target. Without sequences: a
 * switch moves them ahead on purpose.
 */
async function compareAll(say: (line: string) => void): Promise<Closing['compared']> {
  say('>>> both sides are compared row by row, independently of walferry …');
  const compared = await compare(
    {
      ...{ source: 'source', target: 'target', include: [], exclude: [] },
      ...{ sequences: false, md5: false, show: 10 },
    },
    ({ table, equal, sourceRows }) =>
      say(`    ${table}: ${equal ? 'equal' : 'DIFFERENT'}, ${count(sourceRows)} rows`),
  );
  const rows = compared.tables.reduce((sum, table) => sum + table.sourceRows, 0);
  return { equal: compared.equal, seconds: compared.seconds, rows };
}

/** Seeding takes long; Ctrl-C must not wait for its end. */
async function unlessStopped<T>(stop: AbortSignal, work: Promise<T>): Promise<T> {
  // When abandoned, it fails as soon as the servers stop; the failure is ignored.
  work.catch(() => undefined);
  const stopped = new Promise<never>((_, reject) => {
    stop.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
  });
  stopped.catch(() => undefined);
  return Promise.race([work, stopped]);
}

/** Starts the workflow like an operator, and prints how. */
async function startMigration(
  { cluster, folder }: Stage,
  { rows }: DemoSettings,
  say: (line: string) => void,
): Promise<string> {
  const input = path.join(folder, 'migration.json');
  const chunks = rows < SMALL_ROWS ? { copy: { chunkMegabytes: 1 } } : {};
  const text = JSON.stringify({
    ...{ source: 'source', target: 'target', fence: 'trigger', switchback: '1h' },
    ...{ verify: 'before-cutover', ...chunks },
  });
  writeFileSync(input, `${text}\n`);
  // A new id for every run, so that no earlier one interferes.
  const workflowId = `demo-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')}`;
  const words = [
    ...['workflow', 'start', '--type', 'migrateDatabase', '--task-queue', 'walferry'],
    ...['--workflow-id', workflowId, '--input-file', relative(input), '--fail-existing'],
    ...['--static-summary', 'demo: source to target, under load'],
  ];
  say(`${relative(input)}: ${text}`);
  say(`$ temporal ${commandLine(words)}`);
  await temporal(words);
  say(`Web UI: ${cluster.uiAddress}/namespaces/default/workflows/${workflowId}`);
  return workflowId;
}

function relative(file: string): string {
  return path.relative(process.cwd(), file);
}
