/** A report of a verification, as the step that makes it returns it. */
import { parseLsn } from '../../contract/lsn.ts';
import type { VerificationReport } from '../../contract/verification.ts';

/** @param equal otherwise three rows of one table differ. */
export function verificationReport(
  id: string,
  equal: boolean,
  changed: Partial<VerificationReport> = {},
): VerificationReport {
  return {
    ...{ id, startedAt: '2026-11-27T10:00:00.000Z', endedAt: '2026-11-27T10:00:42.000Z' },
    ...{ seconds: 42, tables: 12, rows: 3_000_000, bytes: 240_000_000, anchors: 2 },
    ...{ result: equal ? 'equal' : 'different', lsn: parseLsn('16/B374D848') },
    differing: equal ? [] : [{ table: 'public.orders', keys: 3, more: false }],
    notCompared: [],
    ...changed,
  };
}
