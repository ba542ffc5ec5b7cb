/**
 * The target is lost between the seal and the release: only it knows the outcome, and neither side takes writes. walferry says so and
 * waits; a person may give the writes back, but not while the target answers. Only as a long proof
 * (`npm run prove -- outcome-unknown`): it waits for most of a box.
 */
import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { forceUndo } from '../../scripts/force-undo/force-undo.ts';
import { connectTo, targetServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';

const DDL = /* sql */ `create table t (id int generated always as identity primary key); insert into t default values`;
const WRITE = /* sql */ `insert into t default values`;
const BOX_SECONDS = 90;

const isLong = process.env['WALFERRY_PROVE_FAULTS'] === 'all';

test.runIf(isLong)(
  'a target that is lost after the seal leaves the outcome unknown; only a person opens the source, and not while the target answers',
  async () => {
    await using lab = await Lab.open(DDL);
    const worker = await lab.worker({ env: { WALFERRY_FAILPOINT: 'after-seal-mark freeze' } });
    await lab.start({ fence: 'trigger', verify: 'off' });
    await lab.phase('stream');
    const cutover = lab.update('cutover', { maxDowntimeSeconds: BOX_SECONDS, accept: ACCEPTED });
    await until('the seal', () => isFrozen(worker.pid), { seconds: 120 });
    await using application = await connectTo(lab.pair.source);
    const said = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const logged = vi.spyOn(console, 'log').mockImplementation(() => undefined);

    // The worker is frozen, so a query needs another one; the target still answers.
    await lab.worker();
    await targetServer().kill();
    try {
      const failing = await until(
        'walferry to say so',
        async () => (await lab.progress()).cutover?.failing,
        { seconds: 150 },
      );
      expect(failing.code).toBe('OutcomeUnknown');
      await expect(application.query(WRITE)).rejects.toMatchObject({ code: '25006' });

      expect(await forceUndo(lab.id, false)).toBe(1);
      expect(said).toHaveBeenLastCalledWith(expect.stringContaining('--target-is-shut-down'));
      await expect(application.query(WRITE)).rejects.toMatchObject({ code: '25006' });

      expect(await forceUndo(lab.id, true)).toBe(0);
      expect(logged).toHaveBeenLastCalledWith(expect.stringContaining('takes writes again'));
      await application.query(WRITE);
    } finally {
      await targetServer().start();
      worker.thaw();
    }
    // Against the word of whoever ran it: the target is back, and walferry decides.
    const answer = await cutover;
    expect(answer.code).not.toBe(0);
    expect(answer.stderr).toContain('undone');
    await application.query(WRITE);
    expect(await forceUndo(lab.id, true)).toBe(1);
  },
);

const ACCEPTED = ['verification-missing'];

function isFrozen(pid: number): boolean {
  return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] === 'T';
}
