/** A worker without a free place signals the workflow that waits for one, and signals again when the wait is over. */
import { defineSignal, log, setHandler } from '@temporalio/workflow';
import * as v from 'valibot';
import { placeWait } from '../contract/progress.ts';
import { PLACE_SIGNAL } from '../contract/work.ts';
import type { Execution } from './execution.ts';

const placeSignal = defineSignal<[unknown]>(PLACE_SIGNAL);

export function acceptPlaceWaits(run: Execution): void {
  setHandler(placeSignal, (signalled) => {
    const wait = v.safeParse(v.nullable(placeWait), signalled);
    // Anyone may send a signal; an exception here would fail the workflow task repeatedly.
    if (!wait.success) return;
    if (wait.output) log.warn('waiting for a free worker place', { ...wait.output });
    run.tell({ type: 'placeWaited', wait: wait.output });
  });
}
