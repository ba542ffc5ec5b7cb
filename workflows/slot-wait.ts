/** A worker without a free place signals the workflow that waits for one, and signals again when the wait is over. */
import { defineSignal, log, setHandler } from '@temporalio/workflow';
import * as v from 'valibot';
import { slotWait } from '../contract/progress.ts';
import { SLOT_SIGNAL } from '../contract/work.ts';
import type { Execution } from './execution.ts';

const slotSignal = defineSignal<[unknown]>(SLOT_SIGNAL);

export function acceptSlotWaits(run: Execution): void {
  setHandler(slotSignal, (signalled) => {
    const wait = v.safeParse(v.nullable(slotWait), signalled);
    // Anyone may send a signal; an exception here would fail the workflow task repeatedly.
    if (!wait.success) return;
    if (wait.output) log.warn('waiting for a free worker place', { ...wait.output });
    run.tell({ type: 'slotWaited', wait: wait.output });
  });
}
