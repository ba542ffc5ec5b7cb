/** Makes the report from what is known: histories, and the answers of a worker while the migration runs. Pure. */
import { MIGRATION_COMPLETE } from '../../contract/failure-catalogue.ts';
import * as v from 'valibot';
import {
  activitiesOf,
  carriedOf,
  copiedOf,
  downtimeOf,
  findingsOf,
  inputOf,
  newestOf,
  ofType,
  planOf,
  resultOf,
  storedRecord,
  streamReportOf,
  verificationOf,
  type Known,
} from './report-facts.ts';
import { cutoversOf, lagOf, phasesOf, secondsBetween } from './report-course.ts';
import { fenceChangesOf } from './report-fence.ts';
import { changesOf, faultsOf, requestsOf } from './report-events.ts';
import { parseApproval, type Approval } from '../../contract/approval.ts';
import { cleanupCommand } from '../../contract/shell-command.ts';
import type { Change, Moved, Report, Status, VerificationShown } from './report-model.ts';
import type { RunHistory } from './run-history.ts';

export function buildReport(known: Known): Report {
  const [oldest] = known.runs;
  const newest = newestOf(known);
  const status = statusOf(newest);
  const { source = '?', target = '?' } = inputOf(newest) ?? {};
  const record = storedRecord(newest) ?? known.record;
  const carried = carriedOf(newest);
  const result = resultOf(newest);
  const began = record?.startedAt.preflight ?? carried?.startedAt['preflight'] ?? oldest.startedAt;
  const ended = status === 'running' ? null : newest.newestAt;
  const window = record?.window ?? carried?.window;
  const downtime = result?.downtimeSeconds ?? measuredDowntime(known);
  const changes = [
    ...changesOf(known, source, target),
    ...fenceChangesOf(known, { source, target }),
  ];
  return {
    ...{ workflowId: newest.workflowId, runId: newest.firstRunId, status },
    ...{ summary: summaryOf(known, status), source, target, began, ended },
    seconds: secondsBetween(began, ended ?? known.now),
    histories: { read: known.runs.length, complete: known.complete },
    moved: movedOf(known),
    phases: phasesOf(known, ended),
    ...(downtime == null ? {} : { downtimeSeconds: downtime }),
    ...{ cutovers: cutoversOf(known), lag: lagOf(known), faults: faultsOf(known) },
    stops: record?.stops ?? carried?.course?.stops ?? [],
    resyncs: record?.resyncs ?? carried?.course?.resyncs ?? 0,
    verifications: verificationsOf(known),
    ...(window ? { window } : {}),
    approvals: record?.approvals ?? approvalsOf(known),
    ...{ accepted: acceptedOf(known), requests: requestsOf(known) },
    changes,
    leftOut: [...(result?.leftOut ?? []), ...(result?.skippedViews ?? [])],
    leftBehind: record?.leftBehind ?? leftOf(newest, status, changes),
  };
}

/** Without a record: a cancelled run ends so only when everything was removed; a terminated one has removed nothing. */
function leftOf(newest: RunHistory, status: Status, changes: readonly Change[]): string[] | null {
  if (newest.end === 'canceled') return [];
  if (status !== 'terminated' && status !== 'timed out') return null;
  const { source = '?', target = '?' } = inputOf(newest) ?? {};
  const left = changes.flatMap(({ what, undone }) => (undone === null ? [what] : []));
  const command = cleanupCommand({ source, target }, newest.workflowId);
  return left.length === 0 ? [] : [...left, `Remove it with: ${command}`];
}

/** Without a record: what earlier runs passed on, and the updates that a history has. */
function approvalsOf(known: Known): Approval[] {
  const passedOn = carriedOf(known.runs[0])?.approvals ?? [];
  const given = known.runs.flatMap(({ updates }) =>
    updates.flatMap(({ name, args, at, ok }) => {
      const parsed = parseApproval(args[0]);
      return name === 'approve' && ok === true && parsed.ok ? [{ ...parsed.given, at }] : [];
    }),
  );
  return [...passedOn, ...given];
}

function statusOf({ end, failure }: RunHistory): Status {
  if (end === undefined || end === 'continued') return 'running';
  if (end === 'completed') return 'done';
  if (end === 'canceled') return 'cancelled';
  if (end === 'terminated') return 'terminated';
  if (end === 'timedOut') return 'timed out';
  // The migration is complete; something of walferry's could not be removed.
  if (failure?.message.startsWith(MIGRATION_COMPLETE)) return 'done';
  return failure?.type === 'Aborted' ? 'aborted' : 'failed';
}

function summaryOf({ progress, ...known }: Known, status: Status): string {
  const newest = newestOf(known);
  const said = resultOf(newest)?.summary ?? newest.failure?.message;
  if (said !== undefined) return said;
  if (status !== 'running') return `The migration was ${status}.`;
  if (!progress) return 'The migration runs; no worker answers, so its current state is not known.';
  const { phase, state, waiting } = progress;
  const why = waiting ? `: ${waiting.reason} (${waiting.code})` : '';
  return `The migration is in phase ${phase}, ${state}${why}.`;
}

/** The result, or the counters of the workflow as far as a history or a worker has them. */
function movedOf(known: Known): Moved | null {
  const result = resultOf(newestOf(known));
  if (result) {
    const { tables, copiedRows, copiedBytes, transactions, changes, rows, sequences } = result;
    return { tables, copiedRows, copiedBytes, transactions, changes, rows, sequences };
  }
  const { progress } = known;
  const copied = progress?.snapshot ?? countedCopy(known);
  const stream = progress?.stream ?? countedStream(known);
  if (!copied && !stream) return null;
  return {
    ...{ tables: copied?.tables ?? 0, copiedRows: copied?.rows ?? 0 },
    ...{ copiedBytes: copied?.bytes ?? 0, transactions: stream?.transactions ?? 0 },
    ...{ changes: stream?.changes ?? 0, rows: null, sequences: null },
  };
}

/** As the workflow counts: a plan knows what is done, and runs add to it. */
function countedCopy(known: Known) {
  let counted = carriedOf(known.runs[0])?.snapshot ?? undefined;
  const ended = activitiesOf(known)
    .filter(({ end }) => end === 'completed')
    .sort((a, b) => (a.endedAt ?? '').localeCompare(b.endedAt ?? ''));
  for (const activity of ended) {
    if (activity.type === 'planCopy') counted = planOf(activity) ?? counted;
    const added = activity.type === 'copyChunks' ? copiedOf(activity) : undefined;
    if (!added || !counted) continue;
    const { tables, rows, bytes } = counted;
    counted = { tables, rows: rows + added.rows, bytes: bytes + added.bytes };
  }
  return counted;
}

function countedStream(known: Known) {
  const reports = ofType(known, 'streamChanges').flatMap((one) => streamReportOf(one) ?? []);
  return reports.at(-1) ?? carriedOf(newestOf(known))?.stream ?? undefined;
}

/** Of a cutover whose result is none of the migration's, because something could not be removed. */
function measuredDowntime(known: Known): number | undefined {
  const steps = ofType(known, 'switchCutover', 'undoCutover');
  const milliseconds = steps.flatMap((one) => downtimeOf(one) ?? []).at(-1);
  return milliseconds === undefined ? undefined : milliseconds / MS_PER_SECOND;
}

const MS_PER_SECOND = 1000;

/** Those whose activity a history still has, and the newest ones that an earlier run passed on. */
function verificationsOf(known: Known): VerificationShown[] {
  const { last, rechecked } = carriedOf(known.runs[0])?.verification ?? {};
  const passedOn = [last?.report, rechecked?.report].flatMap((one) => (one ? [one] : []));
  const ended = ofType(known, 'concludeVerification').flatMap((one) => {
    const report = verificationOf(one);
    return report ? [{ endedAt: one.endedAt ?? '', ...report }] : [];
  });
  return [...passedOn, ...ended].map(({ endedAt: at = '', ...shown }) => ({ ...shown, at }));
}

const accepting = v.object({ accept: v.array(v.string()) });

function acceptedOf(known: Known): string[] {
  const warned = ofType(known, 'preflight').flatMap((one) =>
    findingsOf(one)
      .filter(({ level }) => level === 'warning')
      .map(({ code, message }) => `preflight warned [${code}]: ${message}`),
  );
  const ignored = Object.entries(inputOf(newestOf(known))?.ignore ?? {}).flatMap(
    ([name, value]) => {
      if (value === true) return [`the input ignores ${name}`];
      return Array.isArray(value) && value.length > 0
        ? [`the input ignores ${name}: ${value.join(', ')}`]
        : [];
    },
  );
  const named = known.runs.flatMap(({ updates }) =>
    updates.flatMap(({ name, args, ok }) => {
      const parsed = v.safeParse(accepting, args[0]);
      if ((name !== 'cutover' && name !== 'switchback') || !parsed.success || ok === false)
        return [];
      return parsed.output.accept.map((code) => `${name} accepted ${code}`);
    }),
  );
  return [...warned, ...ignored, ...named];
}
