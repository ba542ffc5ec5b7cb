/**
 * Current workflow code against older histories: what a running migration meets when its worker is updated.
 */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { WorkflowBundleOption } from '@temporalio/worker';
import { beforeAll, expect, test } from 'vitest';
import { bundleForReplay, mismatchOf } from '../../scripts/replay/fit.ts';
import { SCENARIOS } from './scenarios.ts';

interface History {
  readonly events: { readonly eventType: string }[];
}

const FOLDER = path.join(import.meta.dirname, 'histories');
/** The largest size of a file in this repository. */
const LARGEST_BYTES = 450_000;

let bundle: WorkflowBundleOption;
beforeAll(async () => {
  bundle = await bundleForReplay();
});

const textOf = (name: string) => readFileSync(path.join(FOLDER, `${name}.json`), 'utf8');
const historyOf = (text: string) => JSON.parse(text) as History;
const shapeMismatch = (history: History) => mismatchOf(bundle, history, 'replayed');

test.each(SCENARIOS)('$name replays', async ({ name, ends }) => {
  const history = historyOf(textOf(name));
  expect(history.events.at(-1)?.eventType).toBe(ends);
  expect(await shapeMismatch(history)).toBeNull();
});

test('every stored history belongs to a scenario and contains nothing about the machine that recorded it', () => {
  expect(readdirSync(FOLDER).sort()).toEqual(SCENARIOS.map(({ name }) => `${name}.json`).sort());
  for (const { name } of SCENARIOS) {
    const text = textOf(name);
    expect(text.length).toBeLessThan(LARGEST_BYTES);
    const identities = new Set([...text.matchAll(/"identity":"([^"]*)"/g)].map(([, who]) => who));
    expect([...identities].filter((who) => who !== 'walferry')).toEqual([]);
    expect(text).not.toMatch(/\d+@|"\/(home|root|work|tmp|Users)\//);
  }
});

test.each([
  ['another name', '"name":"buildIndexes"', '"name":"makeIndexes"'],
  ['another id', '"activityId":"plan"', '"activityId":"planning"'],
  ['a step less', '"name":"createSlot"', '"name":"buildIndexes"'],
])('a history that does not fit is noticed: an activity has %s', async (_, from, to) => {
  const text = textOf('done');
  expect(text).toContain(from);
  expect(await shapeMismatch(historyOf(text.replaceAll(from, to)))).toMatch(/Nondeterminism/i);
});
