/**
 * Where a migration stands. The stages are one union: what only exists in one stage (the failure that is waited for, the step
 * of a cutover) is part of it, so a state that cannot exist cannot be written down. Which event leads from which stage to which
 * is in transition.ts.
 */
import * as v from 'valibot';
import {
  cutoverBox,
  cutoverStep,
  waiting,
  type Phase,
  type RunState,
} from '../../contract/progress.ts';
import { reason } from './reason.ts';

/** What the position of a paused stream is known from. */
const unsure = v.nullable(reason);

export const stage = v.pipe(
  v.variant('at', [
    v.object({ at: v.literal('preflight') }),
    v.object({ at: v.literal('schema') }),
    v.object({ at: v.literal('copying') }),
    v.object({ at: v.literal('copyWaiting'), waiting }),
    v.object({ at: v.literal('indexing') }),
    v.object({ at: v.literal('indexWaiting'), waiting }),
    v.object({ at: v.literal('streaming') }),
    v.object({
      at: v.literal('paused'),
      /** Why the position is only that of the last checkpoint; null when it is known. */
      unsure,
    }),
    v.object({ at: v.literal('streamWaiting'), waiting }),
    v.object({
      at: v.literal('cuttingOver'),
      /** Null before the first step, and between two steps. */
      step: v.nullable(cutoverStep),
    }),
    v.object({
      /** The writes are stopped, or about to be, and the outcome of the cutover is open. */
      at: v.literal('fenced'),
      step: v.nullable(cutoverStep),
      box: cutoverBox,
    }),
    /** The outcome is `switched`: the target is the live database. */
    v.object({ at: v.literal('released') }),
    /** The way back ends: its slot and control schema are being removed. */
    v.object({ at: v.literal('finalizing') }),
    v.object({ at: v.literal('releasing') }),
    v.object({ at: v.literal('completing') }),
    v.object({ at: v.literal('aborting'), by: v.picklist(['operator', 'cancellation']) }),
    v.object({ at: v.literal('failing') }),
    v.object({ at: v.literal('done') }),
    v.object({ at: v.literal('aborted') }),
    v.object({ at: v.literal('failed') }),
  ]),
  v.readonly(),
);
export type Stage = v.InferOutput<typeof stage>;
export type At = Stage['at'];
/** One stage with its fields. */
export type In<A extends At> = Extract<Stage, { readonly at: A }>;

interface Shown {
  readonly phase: Phase;
  /** As the query `progress` says it. */
  readonly state: RunState;
  /** The outcome is decided, or about to be: slot and control schema are being removed. */
  readonly ending: boolean;
}

const shown = (phase: Phase, state: RunState = 'running', ending = false): Shown => ({
  ...{ phase, state, ending },
});

/** What people see of each stage. In their order; the last three are ends. */
export const STAGES: Readonly<Record<At, Shown>> = {
  preflight: shown('preflight'),
  schema: shown('schema'),
  copying: shown('snapshot'),
  copyWaiting: shown('snapshot', 'waiting'),
  indexing: shown('indexes'),
  indexWaiting: shown('indexes', 'waiting'),
  streaming: shown('stream'),
  paused: shown('stream', 'paused'),
  streamWaiting: shown('stream', 'waiting'),
  cuttingOver: shown('cutover'),
  fenced: shown('cutover'),
  released: shown('cutover', 'running', true),
  finalizing: shown('reverse', 'running', true),
  // A late write that the last check finds still undoes the cutover.
  releasing: shown('cutover', 'running', true),
  completing: shown('cutover', 'running', true),
  aborting: shown('aborted', 'running', true),
  failing: shown('failed', 'running', true),
  done: shown('done', 'running', true),
  aborted: shown('aborted', 'running', true),
  failed: shown('failed', 'running', true),
};

/** All stages, in the order of {@link STAGES}. */
export const ALL_STAGES = Object.keys(STAGES).filter((name): name is At => name in STAGES);

/** Whether the outcome is decided: what arrives late is no longer of interest. */
export function isDecided(at: At): boolean {
  return STAGES[at].ending && at !== 'releasing';
}
