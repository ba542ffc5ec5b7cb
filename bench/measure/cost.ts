/** What a change costs in CPU time, by process, and how time and memory grow with the work. */
import type { Report, Row } from '../report/result.ts';
import { medianOf } from '../report/result.ts';
import type { Rig } from '../rig/rig.ts';
import { BACKLOGS } from '../workload/backlog.ts';
import { DrainStage, microseconds } from './drain.ts';
import type { Cost, Drained, DrainOptions } from './drain.ts';

/** Units of work: a hundredth of the full backlog, a tenth, all of it. */
const UNITS = [1, 10, 100];
const DEFAULT_CASES = ['small', 'bulk insert', 'bulk update', 'wide'];

export async function measureCost(rig: Rig, options: DrainOptions): Promise<Report> {
  const { rounds, scale, only, say } = options;
  const stage = await DrainStage.open(rig, scale);
  const names = only.length > 0 ? only : DEFAULT_CASES;
  const rows: Row[] = [];
  for (const backlog of BACKLOGS.filter(({ name }) => names.includes(name))) {
    for (const units of UNITS) {
      const changes = Math.max(1, Math.round((backlog.changes * scale * units) / 100));
      const seen: Drained[] = [];
      for (let round = 0; round < rounds; round += 1) {
        seen.push(await stage.round(backlog, changes, round));
      }
      const micro = (name: Cost) => microseconds(seen, name);
      rows.push({
        name: `${backlog.name} × ${units}`,
        cells: {
          changes,
          'walferry s': medianOf(seen.map((one) => one.walferry)),
          'node s/million': micro('node'),
          'walsender s/million': micro('walsender'),
          'target s/million': micro('target'),
          'native walsender s/million': micro('nativeWalsender'),
          'native apply s/million': micro('nativeApply'),
          'peak MiB': medianOf(seen.map((one) => one.peak)),
        },
      });
      say(`${backlog.name} × ${units}: ${changes} changes measured`);
    }
  }
  return {
    name: 'cost',
    title: 'CPU seconds for a million row changes',
    notes: [
      'From "resume" until the last change is visible: the start of a lease is in it, which is why small work looks dear.',
      'Peak: resident memory of the worker during the drain.',
    ],
    rows,
  };
}
