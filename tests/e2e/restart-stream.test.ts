/** Servers that go down while changes are applied: nothing is lost and nothing is applied twice. */
import { test } from 'vitest';
import { sourceServer, targetServer } from '../support/database.ts';
import { flowing, streaming } from '../support/streaming.ts';
import { restartTemporal } from '../support/temporal.ts';

test.each([
  ['source', () => sourceServer()],
  ['target', () => targetServer()],
] as const)(
  'a %s killed while streaming and started again loses nothing',
  async (_name, server) => {
    const { lab, load } = await streaming();
    await using _ = lab;
    await lab.phase('stream');
    await flowing(lab, load);
    await server().kill();
    await server().start();
    await flowing(lab, load, 60);
    await lab.finish();
  },
);

test('a source restarted cleanly while streaming delivers nothing twice', async () => {
  const { lab, load } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await flowing(lab, load);
  await sourceServer().stop('fast');
  await sourceServer().start();
  await flowing(lab, load, 60);
  await lab.finish();
});

test('a Temporal server killed while streaming and started again changes nothing', async () => {
  const { lab, load } = await streaming();
  await using _ = lab;
  await lab.phase('stream');
  await flowing(lab, load);
  await restartTemporal();
  await flowing(lab, load, 60);
  await lab.finish();
});
