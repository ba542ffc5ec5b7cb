/** What a change costs in CPU time, by process, and how time and memory grow with the work. */
import type { Report, Row } from '../report/result.ts';
import { medianOf, medianRatio } from '../report/result.ts';
import type { Rig } from '../rig/rig.ts';
import { SUBSCRIPTION_SETTINGS } from '../contender/subscription.ts';
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
  const growths: Row[] = [];
  for (const backlog of BACKLOGS.filter(({ name }) => names.includes(name))) {
    const grown: (readonly Drained[])[] = [];
    for (const units of UNITS) {
      const changes = Math.max(1, Math.round((backlog.changes * scale * units) / 100));
      const seen: Drained[] = [];
      for (let round = 0; round < rounds; round += 1) {
        seen.push(await stage.round(backlog, changes, round));
      }
      grown.push(seen);
      rows.push({ name: nameOf(backlog.name, units), cells: cells(seen) });
      say(`${backlog.name} × ${units}: ${changes} changes measured`);
    }
    growths.push(...growth(backlog.name, grown));
  }
  await stage.close();
  return {
    name: 'cost',
    title: 'CPU seconds for a million row changes',
    notes: [
      'walferry: default input; its worker process, its walsender and its sessions on the target.',
      `native: logical replication with ${SUBSCRIPTION_SETTINGS}; its walsender and its apply worker.`,
      '"× 1", "× 10" and "× 100": units of work, each a hundredth of the full backlog. "of native" is all CPU of native against all CPU of walferry, above 1 where walferry needs less.',
      'From "resume" until the last change is visible: it includes the start of a lease, which makes small work look expensive.',
      'Peak: resident memory of the worker during the drain.',
    ],
    rows,
    more: [{ title: 'How it grows from 1 to 10 to 100 units of work', rows: growths }],
    chart: {
      unit: 'at 100 units of work, less is better',
      columns: Object.values(PROCESSES),
      rows: BACKLOGS.map(({ name }) => nameOf(name, Math.max(...UNITS))),
    },
  };
}

/** Column of each process. */
const PROCESSES: Readonly<Record<Cost, string>> = {
  node: 'node',
  walsender: 'walsender',
  target: 'target',
  nativeWalsender: 'native walsender',
  nativeApply: 'native apply',
};

const COSTS = ['node', 'walsender', 'target', 'nativeWalsender', 'nativeApply'] as const;

const nameOf = (backlog: string, units: number): string => `${backlog} × ${units}`;

function cells(seen: readonly Drained[]): Row['cells'] {
  return {
    changes: seen[0]?.changes,
    'walferry s': medianOf(seen.map((one) => one.walferry)),
    ...Object.fromEntries(COSTS.map((name) => [PROCESSES[name], microseconds(seen, name)])),
    'of native': medianRatio(
      seen.map((one) => one.nativeWalsender + one.nativeApply),
      seen.map((one) => one.node + one.walsender + one.target),
    ),
    'peak MiB': medianOf(seen.map((one) => one.peak)),
  };
}

/** One row per process: CPU seconds, not per change, and the factor of each step. Memory likewise. */
function growth(name: string, grown: readonly (readonly Drained[])[]): Row[] {
  const row = (what: string, of: (one: Drained) => number | undefined): Row => {
    const values = grown.map((seen) => medianOf(seen.map(of)));
    const steps = UNITS.slice(1).map((units, i) => {
      const [less, more] = [values[i], values[i + 1]];
      const factor =
        less === undefined || more === undefined || less === 0 ? undefined : more / less;
      return [`${UNITS[i] ?? 0} → ${units}`, factor] as const;
    });
    return {
      name: `${name}: ${what}`,
      cells: Object.fromEntries([
        ...UNITS.map((units, i) => [`× ${units}`, values[i]] as const),
        ...steps,
      ]),
    };
  };
  return [
    row('seconds', (one) => one.walferry),
    ...COSTS.map((cost) => row(`${PROCESSES[cost]}, CPU s`, (one) => one[cost])),
    row('peak MiB', (one) => one.peak),
  ];
}
