/** The operator's own SQL and command after the release. The target is live: what fails is reported. */
import { patched } from '@temporalio/workflow';
import type { AfterRelease } from '../contract/cutover.ts';
import { cleanup } from './activities.ts';
import type { Execution } from './execution.ts';
import { reasonOf } from './failure.ts';
import { UNDO } from './options.ts';

/** Histories of earlier code have no such step. */
const PATCH = 'after-release';

/** Where the switch is only followed, after a reset: the run that switched has run them, or the operator looks. */
export const NOT_AGAIN =
  ' An earlier run of this workflow has switched: cutover.afterRelease and WALFERRY_AFTER_RELEASE were not run by this one; check what they have done.';

/** @returns a sentence for the answer, with a space before it; empty: nothing was to be done, or there is nothing to say. */
export async function runAfterRelease(run: Execution): Promise<string> {
  if (!patched(PATCH)) return '';
  try {
    const report = await cleanup.afterRelease.executeWithOptions(
      { ...UNDO, activityId: 'after-release', summary: 'SQL and command of the operator' },
      [run.step],
    );
    return afterText(report);
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    return ` The steps after the release failed (${reason.message}).`;
  }
}

function afterText({ statements, failed, command, commandFailed }: AfterRelease): string {
  const parts = [
    ...(statements > 0 ? [`${statements} of your statements ran on the target`] : []),
    ...(failed === null
      ? []
      : [
          `statement ${failed.statement} failed (SQLSTATE ${failed.sqlstate ?? 'unknown'}), and nothing after it was run`,
        ]),
    ...(command === null ? [] : [`your command "${command}" ${commandFailed ?? 'succeeded'}`]),
  ];
  return parts.length === 0 ? '' : ` After the release: ${parts.join('; ')}.`;
}
