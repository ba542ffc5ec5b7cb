/** One long proof, for `npm run prove`: scripts/prove/main.ts says which, how often, and where its totals go. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { proofOf } from './proofs.ts';
import { prove } from './rounds.ts';

const { WALFERRY_PROVE: name = '', WALFERRY_PROVE_RESULT: file } = process.env;
const rounds = Number(process.env['WALFERRY_PROVE_ROUNDS'] ?? 1);
const given = process.env['WALFERRY_PROVE_MINUTES'];
const minutes = given === undefined ? undefined : Number(given);
const extent = minutes === undefined ? `${rounds} rounds` : `${minutes} minutes`;
const seed = Number(process.env['WALFERRY_SEED'] ?? 0);

test(`the proof ${name} holds for ${extent}`, { timeout: 0 }, async () => {
  const proof = await proofOf(name);
  const proved = await prove(name, proof, { rounds, minutes, seed }, (line) => {
    process.stderr.write(`${line}\n`);
  });
  if (file !== undefined) writeFileSync(file, JSON.stringify(proved));
  expect(proved.broken).toBeNull();
});
