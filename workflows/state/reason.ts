/** A reason in one line, with its code from the catalogue. */
import * as v from 'valibot';
import type { FailureSide } from '../../contract/failure.ts';
import { isFailureCode, type FailureCode } from '../../contract/failure-catalogue.ts';

export interface Reason {
  readonly code: FailureCode;
  readonly message: string;
  /** Which database failed, where the step said so. Not kept in the state. */
  readonly side?: FailureSide;
}

/** As the state keeps it. */
export const reason = v.pipe(
  v.object({ code: v.custom<FailureCode>(isFailureCode), message: v.string() }),
  v.readonly(),
);
