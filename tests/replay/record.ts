/**
 * Records the histories that the replay test replays: `node --import tsx tests/replay/record.ts [NAME …]`. Run it
 * when a scenario is added. Do not record a stored history again because the code changed: the test checks that it
 * still fits.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Migrations } from '../e2e/workflow/migrations.ts';
import { startOwnServer, type OwnServer } from '../e2e/workflow/server.ts';
import { SCENARIOS, SUGGEST_AT_EVENTS, type Scenario } from './scenarios.ts';

const FOLDER = path.join(import.meta.dirname, 'histories');
const ROOT = path.resolve(import.meta.dirname, '../..');

async function record(scenario: Scenario): Promise<void> {
  const suggestAt =
    scenario.name === 'continued' ? SUGGEST_AT_EVENTS.continued : SUGGEST_AT_EVENTS.others;
  await using server = await startOwnServer({
    'limit.historyCount.suggestContinueAsNew': suggestAt,
  });
  await using migrations = await Migrations.open(server.address);
  const migration = await scenario.play(migrations);
  await migration.end();
  const first = await show(server, migration.id, migration.firstRunId);
  const text = scenario.run === 'second' ? await show(server, migration.id, nextRun(first)) : first;
  const clean = oneLinePerEvent(scrub(JSON.parse(text)));
  if (clean.includes(hostname()) || clean.includes(ROOT)) {
    throw new Error(`history ${scenario.name} names this machine`);
  }
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(path.join(FOLDER, `${scenario.name}.json`), clean);
  process.stdout.write(`${scenario.name}: ${clean.length} bytes\n`);
}

async function show(server: OwnServer, workflowId: string, runId: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    server.program,
    [
      ...['workflow', 'show', '--disable-config-file', '--address', server.address],
      ...['-w', workflowId, '-r', runId, '-o', 'json'],
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  return stdout;
}

/** Small, and readable in a diff. */
function oneLinePerEvent(history: unknown): string {
  if (typeof history !== 'object' || history === null || !('events' in history)) {
    throw new Error('not a history');
  }
  const { events } = history;
  if (!Array.isArray(events)) throw new Error('not a history');
  return `{"events":[\n${events.map((event) => JSON.stringify(event)).join(',\n')}\n]}\n`;
}

function nextRun(history: string): string {
  const found = /"newExecutionRunId": "([^"]+)"/.exec(history)?.[1];
  if (found === undefined) throw new Error('the history does not end with continue-as-new');
  return found;
}

/** Removes who recorded it: identities and sticky queues contain process ids and host names. */
function scrub(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(scrub);
  if (typeof value !== 'object' || value === null) return value;
  const fields: [string, unknown][] = Object.entries(value);
  const sticky = fields.some(([, field]) => field === 'TASK_QUEUE_KIND_STICKY');
  return Object.fromEntries(
    fields.map(([name, field]) => {
      if (name === 'identity') return [name, 'walferry'];
      if (name === 'name' && sticky) return [name, 'sticky'];
      return [name, scrub(field)];
    }),
  );
}

const wanted = process.argv.slice(2);
for (const scenario of SCENARIOS) {
  if (wanted.length === 0 || wanted.includes(scenario.name)) await record(scenario);
}
process.exit(0);
