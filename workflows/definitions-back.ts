/**
 * Comparing definitions before a switch back stops anything. What was run on the new database alone since the switch is missing on the
 * old one, and the application would meet that right after its return.
 */
import { log, patched } from '@temporalio/workflow';
import {
  isWrong,
  wordDifference,
  type Difference,
  type DefinitionReport,
} from '../contract/definition.ts';
import { listed } from '../contract/listed.ts';
import { inOtherDirection } from '../contract/reversed.ts';
import { compareCommand } from '../contract/shell-command.ts';
import { long } from './activities.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { ending, raise, reasonOf, throwIfStopped } from './failure.ts';
import { BESIDE, LONG } from './options.ts';
import { retryUntilDone } from './retry-until-done.ts';

/** Histories of earlier code compare nothing on the way back. */
const PATCH = 'definitions-back';
const SHOWN = 5;

/**
 * Who accepts the finding waits for no comparison that takes long or fails: it is tried once, to be reported.
 * @throws ApplicationFailure `NotReady` with what the old database lacks.
 */
export async function requireDefinitionsBack(
  run: Execution,
  { accept }: Pick<CutoverRequest, 'accept'>,
): Promise<void> {
  if (!patched(PATCH)) return;
  const isAccepted = accept.includes('definition-differs');
  const report = isAccepted
    ? await triedOnce(run)
    : await retryUntilDone(run, 'compare definitions', (retry) =>
        compare(run, { ...LONG, retry, activityId: 'definitions' }),
      );
  if (report === null) return;
  run.backEnd.definitions = report;
  const found = newSince(report, run.state.definitions?.report);
  if (isAccepted || found.total === 0) return;
  const { source, target, workflowId } = run.migration;
  const command = compareCommand({ source: target, target: source }, workflowId);
  const names = listed(found.names, SHOWN, '; ', found.total);
  throw ending(
    'NotReady',
    `not ready: blocks [definition-differs]: ${names}. Run on "${source}" the SQL that \`${command}\` prints, then call switchback again, or accept the finding: --input '{"accept": ["definition-differs"]}'`,
  );
}

async function compare(
  run: Execution,
  options: Parameters<typeof long.compareDefinitions.executeWithOptions>[0],
): Promise<DefinitionReport> {
  const report = await long.compareDefinitions.executeWithOptions(
    { ...options, summary: 'compare definitions' },
    [run.step],
  );
  throwIfStopped();
  return report;
}

async function triedOnce(run: Execution): Promise<DefinitionReport | null> {
  try {
    return await compare(run, BESIDE);
  } catch (error) {
    throwIfStopped();
    const reason = reasonOf(error) ?? raise(error);
    log.warn('definitions were not compared', { ...reason });
    return null;
  }
}

/**
 * What makes the old database wrong, without what differed when the application left it: it ran there like that. What a report does
 * not name counts as new.
 */
function newSince(report: DefinitionReport, atSwitch: DefinitionReport | undefined) {
  const key = ({ object, what }: Pick<Difference, 'object' | 'what'>) =>
    JSON.stringify([object, what]);
  const before = new Set(
    atSwitch?.differences.map(({ object, what }) => key({ object, what: inOtherDirection(what) })),
  );
  const named = report.differences.filter(isWrong);
  const found = named.filter((one) => !before.has(key(one)));
  const unnamed = Math.max(0, (report.wrong ?? 0) - named.length);
  return { names: found.map(wordDifference), total: found.length + unnamed };
}
