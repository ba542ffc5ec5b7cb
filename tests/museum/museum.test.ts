/**
 * The museum: every file of this folder is one trap for a migration (README.md). All of them are taken through as few real
 * migrations as can be, then each is one test.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshPair } from '../support/database.ts';
import { groupTraps, migrateGroup } from '../support/museum/group.ts';
import { missingFor } from '../support/museum/need.ts';
import { renderOutcomes, type Outcome } from '../support/museum/outcome.ts';
import { randomTrap } from '../support/museum/random.ts';
import { refuse } from '../support/museum/refusal.ts';
import { parseTrap, type Trap } from '../support/museum/trap.ts';
import { startWorker } from '../support/worker.ts';

const FOLDER = import.meta.dirname;
/** Names of traps to visit, set by `npm run museum -- NAME …`; all when it is empty. */
const WANTED = (process.env['WALFERRY_MUSEUM'] ?? '').split(' ').filter((name) => name !== '');

const LOG_TAIL_LINES = 40;

/** Set it to see values again that were different once. */
const SEED = Number(process.env['WALFERRY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const traps = [
  ...readdirSync(FOLDER)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => parseTrap(`tests/museum/${file}`, read(file), shared)),
  randomTrap(SEED, shared),
].filter(({ name }) => WANTED.length === 0 || WANTED.includes(name));
const outcomes = new Map<string, Outcome>();
const began = Date.now();

beforeAll(async () => {
  const present: Trap[] = [];
  {
    await using pair = await freshPair();
    for (const trap of traps) {
      const missing = await missingFor(trap, pair.sourceClient, pair.targetClient);
      if (missing === null) present.push(trap);
      else note({ trap, copied: null, streamed: null, verdict: 'skipped', details: [missing] });
    }
  }
  for (const trap of present) {
    if (trap.refused !== null) note(await refuse(trap, trap.refused));
  }
  await using worker = await startWorker({
    name: 'museum',
    env: { WALFERRY_HOLDPOINT: 'before-chunks' },
  });
  // One after another: a transaction that one trap leaves open for a while would keep another group's slot waiting.
  for (const group of groupTraps(present.filter(({ refused }) => refused === null))) {
    for (const outcome of await migrateGroup(group)) note(outcome);
  }
  if ([...outcomes.values()].some(({ verdict }) => verdict === 'different')) {
    const tail = worker.log().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    process.stderr.write(`--- end of the worker's log ---\n${tail}\n`);
  }
});

afterAll(() => {
  const all = traps.flatMap(({ name }) => outcomes.get(name) ?? []);
  process.stdout.write(renderOutcomes(all, (Date.now() - began) / 1000));
});

function read(file: string): string {
  return readFileSync(path.join(FOLDER, file), 'utf8');
}

function shared(name: string): string | undefined {
  const file = path.join('use', `${name}.sql`);
  return existsSync(path.join(FOLDER, file)) ? read(file) : undefined;
}

function note(outcome: Outcome): void {
  outcomes.set(outcome.trap.name, outcome);
}

for (const trap of traps) {
  test(`${trap.name}: ${trap.title}`, (context) => {
    const outcome = outcomes.get(trap.name);
    if (outcome?.verdict === 'skipped') context.skip(outcome.details.join('; '));
    expect(outcome?.verdict, outcome?.details.join('\n')).toBe(
      trap.refused === null ? 'equal' : 'refused',
    );
  });
}

test('every name that was asked for is a trap', () => {
  expect(traps.map(({ name }) => name)).toEqual(expect.arrayContaining(WANTED));
  expect(traps).not.toEqual([]);
});
