/**
 * Comparing what both databases have beside rows: with each verification, now and then while changes are streamed, and before a
 * cutover stops anything. Readiness judges the result.
 */
import { log, patched, type ActivityOptions } from '@temporalio/workflow';
import { countDifferences, type DefinitionReport } from '../contract/definition.ts';
import { long } from './activities.ts';
import { definitionSentence } from './definition-text.ts';
import type { Execution } from './execution.ts';
import { raise, reasonOf, throwIfStopped } from './failure.ts';
import {
  BESIDE,
  BETWEEN_COMPARISONS_MS,
  BETWEEN_DIFFERENCES_MS,
  LONG,
  VERIFYING,
} from './options.ts';
import { retryUntilDone } from './retry-until-done.ts';
import type { State } from './state/state.ts';

/** Histories of earlier code compare in another step, at the end of a cutover. */
const PATCH = 'definitions';
const TRIED_PATCH = 'definitions-tried';

/**
 * A failure does not hold back what is known of the rows: it is said.
 * @returns a sentence for the answer of `verify`, with a blank before it; empty when there is nothing to say.
 */
export async function compareWithVerification(run: Execution): Promise<string> {
  if (!patched(PATCH)) return '';
  try {
    return definitionSentence(
      await compare(run, { ...VERIFYING, activityId: 'verify-definitions' }, { contents: true }),
    );
  } catch (error) {
    throwIfStopped();
    const reason = reasonOf(error) ?? raise(error);
    log.warn('definitions were not compared', { ...reason });
    return ` Definitions were not compared: ${reason.message}.`;
  }
}

/** Before anything is stopped or fenced. Does not refuse: readiness does. */
export async function compareBeforeCutover(run: Execution): Promise<void> {
  if (!patched(PATCH)) return;
  await retryUntilDone(run, 'compare definitions', (retry) =>
    compare(run, { ...LONG, retry, activityId: 'definitions' }),
  );
}

/** Beside a lease, when it is time, and not soon after a try that failed. @throws the failure of the step. */
export async function compareWhenDue(run: Execution): Promise<void> {
  if (!isDue(run.state, Date.now()) || run.verifier) return;
  // The patch is asked only where it decides: histories of earlier code try again with every measurement.
  if (Date.now() - (tried.get(run) ?? 0) < BETWEEN_DIFFERENCES_MS && patched(TRIED_PATCH)) return;
  tried.set(run, Date.now());
  await compare(run, BESIDE);
  tried.delete(run);
}

/** When a comparison beside a lease began that had no result: where it takes longer than it may, the next one will, too. */
const tried = new WeakMap<Execution, number>();

/** Where something differed it is looked at more often: the operator runs what is missing. */
function isDue({ definitions, startedAt }: State, now: number): boolean {
  const since = definitions?.at ?? startedAt.stream;
  if (since === undefined) return false;
  const differs = definitions !== undefined && countDifferences(definitions.report) > 0;
  return now - Date.parse(since) >= (differs ? BETWEEN_DIFFERENCES_MS : BETWEEN_COMPARISONS_MS);
}

async function compare(
  run: Execution,
  options: ActivityOptions & { readonly activityId?: string },
  what: { readonly contents?: true } = {},
): Promise<DefinitionReport> {
  const report = await long.compareDefinitions.executeWithOptions(
    { ...options, summary: 'compare definitions' },
    [{ ...run.step, ...what }],
  );
  throwIfStopped();
  run.tell({ type: 'definitionsCompared', report });
  return report;
}
