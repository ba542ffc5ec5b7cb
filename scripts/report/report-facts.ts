/** Payloads of histories, parsed as far as a report needs them. Any version may have written them: nothing is required. */
import * as v from 'valibot';
import { approval } from '../../contract/approval.ts';
import { DATABASE_EXTRAS } from '../../contract/fence.ts';
import { fenceTaking, type FenceTaking } from '../../contract/fence-change.ts';
import type { Progress } from '../../contract/progress.ts';
import { course, migrationRecord, type MigrationRecord } from '../../contract/record.ts';
import { cutoverWindow } from '../../contract/window.ts';
import type { Activity, RunHistory } from './run-history.ts';

const optional = v.exactOptional;
const names = v.array(v.string());

const input = v.object({
  source: v.string(),
  target: v.string(),
  ignore: optional(v.record(v.string(), v.union([v.boolean(), names]))),
});
export type KnownInput = v.InferOutput<typeof input>;

const counters = v.object({ tables: v.number(), rows: v.number(), bytes: v.number() });
const applied = v.object({ transactions: v.number(), changes: v.number() });

const result = v.object({
  ...{ summary: v.string(), tables: v.number(), rows: v.nullable(v.number()) },
  ...{ copiedRows: v.number(), copiedBytes: v.number(), sequences: v.number() },
  ...applied.entries,
  ...{ leftOut: optional(names), skippedViews: optional(names), differences: optional(names) },
  /** What the cutover measured; null: not known. */
  downtimeSeconds: optional(v.nullable(v.number())),
});
export type KnownResult = v.InferOutput<typeof result>;

/** A report of a verification. Lax: it is shown as far as it is known. */
const verification = v.object({
  ...{ result: v.string(), endedAt: optional(v.string()), seconds: optional(v.number()) },
  ...{ tables: optional(v.number()), rows: optional(v.number()), bytes: optional(v.number()) },
  lsn: optional(v.string()),
  notCompared: optional(names),
  differing: optional(v.array(v.object({ table: v.string(), keys: v.number() }))),
});
const received = optional(v.nullable(v.object({ report: verification })));

const carried = v.object({
  startedAt: v.record(v.string(), v.string()),
  course: optional(course),
  approvals: optional(v.array(approval)),
  window: optional(cutoverWindow),
  snapshot: optional(v.nullable(counters)),
  stream: optional(v.nullable(applied)),
  verification: optional(v.object({ last: received, rechecked: received })),
});
export type Carried = v.InferOutput<typeof carried>;

const streamReport = v.object({ ...applied.entries, lagBytes: v.number(), lagSeconds: v.number() });
const copied = v.object({ rows: v.number(), bytes: v.number() });
const findings = v.array(v.object({ level: v.string(), code: v.string(), message: v.string() }));

const parsed = <S extends v.GenericSchema>(
  schema: S,
  raw: unknown,
): v.InferOutput<S> | undefined => {
  const { success, output } = v.safeParse(schema, raw);
  return success ? output : undefined;
};

export const inputOf = (run: RunHistory | undefined) => parsed(input, run?.input);
export const resultOf = (run: RunHistory) => parsed(result, run.result);
export const carriedOf = (run: RunHistory | undefined) => parsed(carried, run?.carried);
export const planOf = ({ result: raw }: Activity) => parsed(counters, raw);
export const copiedOf = ({ result: raw }: Activity) => parsed(copied, raw);
export const streamReportOf = ({ result: raw }: Activity) => parsed(streamReport, raw);
export const verificationOf = ({ result: raw }: Activity) => parsed(verification, raw);
const switched = v.object({ decided: optional(v.string()), downtimeMs: v.nullable(v.number()) });
/** How a cutover ended, as a step of it reports. */
export const outcomeOf = ({ result: raw }: Activity) => parsed(switched, raw);
/** What the step of the release measured. */
export const downtimeOf = (activity: Activity) => outcomeOf(activity)?.downtimeMs ?? undefined;
const backward = v.object({ back: v.literal(true) });
/** Whether a step worked on the way back, with the sides swapped. */
export const isBackward = ({ input: raw }: Activity) => parsed(backward, raw) !== undefined;

const takings = v.object({ changes: optional(v.array(fenceTaking)) });
const ordered = v.object({
  box: optional(v.object({ rehearsal: optional(v.boolean()) })),
  oldDatabase: optional(v.string()),
});

const arming = v.object({
  input: v.object({
    fence: v.literal('trigger'),
    fenceExtras: optional(v.record(v.string(), v.boolean())),
  }),
  box: v.object({ milliseconds: v.number(), rehearsal: optional(v.boolean()) }),
});
/** Milliseconds after which a fence gives back by itself what this step has stopped; undefined: not all of it. */
export function deadlineOf({ input: raw }: Activity): number | undefined {
  const { input: asked, box } = parsed(arming, raw) ?? {};
  // A rehearsal takes nothing else than the trigger.
  const extras = box?.rehearsal === true ? undefined : asked?.fenceExtras;
  return DATABASE_EXTRAS.some((one) => extras?.[one]) ? undefined : box?.milliseconds;
}

interface FenceStep {
  /** Result of a preparation. */
  readonly announced: readonly FenceTaking[];
  /** Result of a look after the switch; undefined in histories of earlier code. */
  readonly stays: readonly FenceTaking[] | undefined;
  readonly rehearsal: boolean;
  /** The old database was asked to take writes again. */
  readonly opens: boolean;
}

/** What a step says about settings and rights that the fence changes. */
export function fenceStepOf({ input: order, result: raw }: Activity): FenceStep {
  const stays = parsed(takings, raw)?.changes;
  const { box, oldDatabase } = parsed(ordered, order) ?? {};
  return {
    ...{ announced: stays ?? [], stays },
    ...{ rehearsal: box?.rehearsal === true, opens: oldDatabase === 'open' },
  };
}

export const findingsOf = ({ result: raw }: Activity) => parsed(findings, raw) ?? [];

const ended = v.object({ record: migrationRecord });
/** What a run stored of its course when it ended; in the details of a failure, if it was one. */
export function storedRecord(run: RunHistory): MigrationRecord | undefined {
  return (parsed(ended, run.result) ?? parsed(ended, run.failure?.details))?.record;
}

export const readRecord = (raw: unknown) => parsed(migrationRecord, raw);

/** What a report is made of. */
export interface Known {
  /** Oldest first; at least one. */
  readonly runs: readonly [RunHistory, ...RunHistory[]];
  readonly complete: boolean;
  /** Of a worker, while the migration runs; undefined when none answers. */
  readonly progress?: Progress | undefined;
  readonly record?: MigrationRecord | undefined;
  /** ISO 8601: what a running migration is measured up to. */
  readonly now: string;
}

export const newestOf = ({ runs }: Known): RunHistory => runs.at(-1) ?? runs[0];
export const activitiesOf = ({ runs }: Known): Activity[] => runs.flatMap((run) => run.activities);
export const ofType = (known: Known, ...types: string[]): Activity[] =>
  activitiesOf(known).filter(({ type }) => types.includes(type));
