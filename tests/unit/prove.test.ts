/** The frame of the long proofs: counts add up, a broken claim ends it with its round and seed. */
import { expect, test } from 'vitest';
import type { Counts, Proof } from '../prove/proof.ts';
import { proofOf } from '../prove/proofs.ts';
import { prove, sentenceOf } from '../prove/rounds.ts';

const rounds = (round: (number: number, drawn: number) => Counts, ended: string[] = []): Proof => ({
  claim: 'it holds.',
  open: ({ pick }) =>
    Promise.resolve({
      round: (number) => Promise.resolve().then(() => round(number, pick.below(1000))),
      [Symbol.asyncDispose]: () => Promise.resolve(void ended.push('ended')),
    }),
});

test('counts of all rounds add up, and the same seed draws the same', async () => {
  const said: string[] = [];
  const proof = rounds((number, drawn) => ({ anchors: number, drawn }));
  const options = { rounds: 3, seed: 7 };
  const first = await prove('anchor', proof, options, (line) => said.push(line));
  expect(first).toMatchObject({ finished: 3, broken: null, counts: { anchors: 6 } });
  expect((await prove('anchor', proof, options, () => undefined)).counts).toEqual(first.counts);
  expect(said.at(-1)).toMatch(/^anchor: round 3 of 3, \d+ s: 6 anchors/);
  expect(sentenceOf(first)).toMatch(
    /^anchor: in 3 rounds and \d+ s \(6 anchors, .*\) this held: it holds\. Seed 7\./,
  );
});

test('the first round that breaks the claim ends the proof, which names it, and cleans up', async () => {
  const ended: string[] = [];
  const proof = rounds((number) => {
    if (number === 3) throw new Error('a write after M2');
    return { cutovers: 1 };
  }, ended);
  const proved = await prove('decision', proof, { rounds: 9, seed: 7 }, () => undefined);
  expect(proved).toMatchObject({ finished: 2, counts: { cutovers: 2 } });
  expect(ended).toEqual(['ended']);
  expect(sentenceOf(proved)).toBe(
    'decision: BROKEN in round 3 of 9 (2 cutovers), seed 7: Error: a write after M2',
  );
});

test('servers that do not start are no proof', async () => {
  const proof: Proof = { claim: 'x.', open: () => Promise.reject(new Error('no server')) };
  const proved = await prove('fence', proof, { rounds: 1, seed: 1 }, () => undefined);
  expect(proved).toMatchObject({
    finished: 0,
    broken: expect.stringContaining('no server') as unknown,
  });
});

test('an unknown proof is refused with those that there are', async () => {
  await expect(proofOf('perpetuum mobile')).rejects.toThrow('unknown proof; there are:');
});
