/**
 * The fidelity suite: every file of this folder is one case for a migration (README.md). All of them go through as
 * few real migrations as possible, then each is one test. What the run's own servers lack (wal2json 2.6, pgvector) is
 * available on 17, if set-up fetched it.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findOther } from '../../scripts/local/setup/versions.ts';
import { readFidelity } from '../support/fidelity/folder.ts';
import { renderOutcomes, type Outcome } from '../support/fidelity/outcome.ts';
import { visit, visitOther } from '../support/fidelity/visit.ts';

/** Names of cases to visit, set by `npm run fidelity -- NAME …`; all when it is empty. */
const WANTED = (process.env['WALFERRY_FIDELITY'] ?? '').split(' ').filter((name) => name !== '');
/** `npm run fidelity -- --on-17`: all of them on 17 alone. */
const ON_17_ALONE = process.env['WALFERRY_FIDELITY_ON'] === '17';

/** Set it to repeat values that once differed. */
const SEED = Number(process.env['WALFERRY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const fidelity = readFidelity(import.meta.dirname, SEED);
const isWanted = ({ name }: { name: string }): boolean =>
  WANTED.length === 0 || WANTED.includes(name);
const cases = fidelity.cases.filter(isWanted);
const broken = fidelity.broken.filter(isWanted);
const outcomes = new Map<string, Outcome>();
const began = Date.now();

beforeAll(async () => {
  const other = findOther(17);
  if (ON_17_ALONE && !other) throw new Error('17 is not here: npm run setup -- --versions');
  if (!ON_17_ALONE) for (const outcome of await visit(cases)) outcomes.set(outcome.name, outcome);
  if (!other) return;
  const left = cases.filter(({ name }) => (outcomes.get(name)?.result ?? 'skipped') === 'skipped');
  for (const outcome of await visitOther(left, other)) outcomes.set(outcome.name, outcome);
});

afterAll(() => {
  for (const { name, reason } of broken) {
    outcomes.set(name, {
      name,
      copied: null,
      streamed: null,
      result: 'different',
      details: [reason],
    });
  }
  const all = [...cases, ...broken].flatMap(({ name }) => outcomes.get(name) ?? []);
  process.stdout.write(renderOutcomes(all, (Date.now() - began) / 1000));
});

for (const fidelityCase of cases) {
  test(`${fidelityCase.name}: ${fidelityCase.title}`, (context) => {
    const outcome = outcomes.get(fidelityCase.name);
    if (outcome?.result === 'skipped') context.skip(outcome.details.join('; '));
    expect(outcome?.result, outcome?.details.join('\n')).toBe(
      fidelityCase.refused === null ? 'equal' : 'refused',
    );
  });
}

for (const { name, reason } of broken) {
  test(`${name}: is a case that can be read`, () => expect.fail(reason));
}

/** With fewer changes each may be of a kind that is applied one by one. */
const FEW = 10;

test('the stream folds most changes: no case is applied one by one as a whole unless the target refused its rows', () => {
  const seen = [...outcomes.values()].flatMap(({ name, streamed, oneByOne, refused }) =>
    streamed !== null && oneByOne !== undefined && streamed >= FEW
      ? [{ name, streamed, oneByOne, refused }]
      : [],
  );
  // A refusal affects the whole batch, and all changes of a case may be in one.
  const whole = seen.filter(
    ({ streamed, oneByOne, refused }) => oneByOne >= streamed && refused !== true,
  );
  expect(whole).toEqual([]);
  const sum = (of: 'streamed' | 'oneByOne') => seen.reduce((n, one) => n + one[of], 0);
  if (WANTED.length === 0) expect(sum('oneByOne')).toBeLessThan(sum('streamed') / 2);
});

test('every requested name is a case', () => {
  const names = [...cases, ...broken].map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(WANTED));
  expect(names).not.toEqual([]);
});
