/** The frame of the long proofs: counts add up, a broken claim ends it with its rounds and seed. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Proof } from '../prove/proof.ts';
import { proofOf } from '../prove/proofs.ts';
import { inRounds, prove, sentenceOf } from '../prove/rounds.ts';

const silent = () => undefined;

test('counts of all rounds add up, and the same seed draws the same', async () => {
  const said: string[] = [];
  const proof = inRounds('it holds.', (number, pick) =>
    Promise.resolve({ anchors: number, drawn: pick.below(1000) }),
  );
  const options = { rounds: 3, seed: 7 };
  const first = await prove('anchor', proof, options, (line) => said.push(line));
  expect(first).toMatchObject({ finished: 3, broken: null, counts: { anchors: 6 } });
  expect((await prove('anchor', proof, options, silent)).counts).toEqual(first.counts);
  expect(said.at(-1)).toMatch(/^anchor: round 3 of 3, \d+ s: 6 anchors/);
  expect(sentenceOf(first)).toMatch(
    /^anchor: in 3 rounds and \d+ s \(6 anchors, .*\) this held: it holds\. Seed 7\.$/,
  );
});

test('the first round that breaks the claim ends the proof, which names it', async () => {
  const proof = inRounds('it holds.', (number) =>
    number === 3
      ? Promise.reject(new Error('a write after the second mark'))
      : Promise.resolve({ cutovers: 1 }),
  );
  const proved = await prove('decision', proof, { rounds: 9, seed: 7 }, silent);
  expect(proved).toMatchObject({ finished: 2, counts: { cutovers: 2 } });
  expect(sentenceOf(proved)).toBe(
    'decision: BROKEN after 2 of 9 rounds (2 cutovers), seed 7: Error: a write after the second mark',
  );
});

test('servers that do not start, and a driver that ends early, prove nothing', async () => {
  const options = { rounds: 4, seed: 1 };
  const dead: Proof = { claim: 'x.', run: () => Promise.reject(new Error('no server')) };
  expect((await prove('fence', dead, options, silent)).broken).toContain('no server');
  const lazy: Proof = {
    claim: 'x.',
    run: ({ counted }) => Promise.resolve(counted(3, {})),
  };
  expect((await prove('fence', lazy, options, silent)).broken).toBe('ended after 3 rounds');
});

/** Files of tests that run all of their cases only when this is set, or run only then. */
const ALL = 'WALFERRY_PROVE_FAULTS';
const TESTS = path.join(import.meta.dirname, '..');

test('every file whose cases are too long for each run of the tests has a proof that runs them', () => {
  const textsOf = (folder: string): (readonly [string, string])[] =>
    readdirSync(path.join(TESTS, folder), { withFileTypes: true }).flatMap((entry) =>
      entry.isFile()
        ? [[entry.name, readFileSync(path.join(TESTS, folder, entry.name), 'utf8')] as const]
        : [],
    );
  const long = textsOf('e2e').filter(([, text]) => text.includes(ALL));
  expect(long.length).toBeGreaterThan(2);
  const drivers = textsOf('prove').map(([, text]) => text);
  const without = long.filter(
    ([name]) => !drivers.some((text) => text.includes(`'tests/e2e/${name}'`)),
  );
  expect(without.map(([name]) => name)).toEqual([]);
});

test('an unknown proof is refused with those that there are', async () => {
  await expect(proofOf('perpetuum mobile')).rejects.toThrow('unknown proof; there are:');
});
