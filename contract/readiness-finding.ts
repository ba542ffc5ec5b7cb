/**
 * What may stand in the way of a cutover. `blocks`: `cutover` refuses, unless the operator accepts the finding by its code: an
 * application would meet it right after the switch, or the cutover could not end. `warns`: shown, and left to the operator.
 */
interface Entry {
  readonly level: 'blocks' | 'warns';
  readonly meaning: string;
  readonly action: string;
}

export const READINESS = {
  'slot-lost': {
    level: 'blocks',
    meaning:
      'The slot on the source is missing, or the server has removed WAL that it needs: the target lacks changes.',
    action: 'Abort the migration and start again; the target cannot be completed.',
  },
  'slot-shrinking': {
    level: 'warns',
    meaning:
      'The slot is close to losing WAL: the source may remove it at its next checkpoint, or little is left of `max_slot_wal_keep_size`.',
    action: 'Raise `max_slot_wal_keep_size` on the source, or wait until the lag is gone.',
  },
  'index-invalid': {
    level: 'blocks',
    meaning:
      'An index of a moved table is not valid on the target: queries do not use it, and it enforces nothing on older rows.',
    action: 'Run `reindex index concurrently …` on the target for each index named.',
  },
  'sequence-unreadable': {
    level: 'blocks',
    meaning:
      'A sequence on the source is not readable for walferry, so the cutover could not set it on the target.',
    action: 'Run `grant select on sequence … to …` on the source for each sequence named.',
  },
  'verification-different': {
    level: 'blocks',
    meaning: 'The last verification found rows that differ.',
    action: 'Call `repair`, or find out who writes to the target; then call `verify`.',
  },
  'verification-missing': {
    level: 'blocks',
    meaning:
      'The input asks for a verification before the cutover, and none says that everything is equal: the first one has not ended, ended without a result, or did not compare everything, or tables were resynced since.',
    action:
      'Call `verify` and wait for its result, or accept this finding by its name to cut over without one.',
  },
  'verification-old': {
    level: 'blocks',
    meaning: 'The last verification is more than a day old.',
    action: 'Call `verify` and wait for its result, or accept this finding by its name.',
  },
  'verification-off': {
    level: 'warns',
    meaning:
      'The input turns verification off, and no verification of the last day says that everything is equal.',
    action: 'Call `verify` to know that both sides are equal before the cutover.',
  },
  'definition-differs': {
    level: 'blocks',
    meaning:
      'The target is wrong: a column, a constraint, a unique index, a trigger, a function, a grant or the like is missing there or differs, and an application would notice. Before a switch back: the old database is, because it was changed on the new one alone.',
    action:
      'Run on the target the SQL that `walferry compare SOURCE TARGET --migration WORKFLOW-ID` prints, then call `verify` or `cutover` again. Before a switch back name the new database first, and run it on the old one.',
  },
  'definition-other': {
    level: 'warns',
    meaning:
      'A definition differs, but the target is not wrong: an index, statistics, a storage setting, a comment, or something that only the target has. Or you created the tables there yourself. Or a materialized view shows other rows there, and the cutover does not refresh it.',
    action:
      'Run on the target the SQL that `walferry compare SOURCE TARGET --migration WORKFLOW-ID` prints, or leave it as it is.',
  },
  // No more: the cutover catches up and builds them itself, with a fence before a write is stopped, and fails where it cannot.
  'not-consistent': {
    level: 'warns',
    meaning:
      'The target is not consistent yet, or its foreign keys and triggers are not built: the cutover does that first, which takes longer, and without a fence while writes are stopped.',
    action:
      'Wait until `progress` shows every table as ready and the constraints as built; if the migration waits for you, do what it says.',
  },
  'downtime-too-long': {
    level: 'blocks',
    meaning:
      'A cutover with a fence would stop the writes for longer than `cutover.maxDowntimeSeconds` permits, even without checking the rows: how long that takes is measured by the cutover.',
    action:
      'Wait until the lag is gone and long transactions have ended, or permit more: `--input \'{"maxDowntimeSeconds": …}\'`.',
  },
  'fence-open': {
    level: 'blocks',
    meaning:
      'The role of walferry lacks a right that the fence needs, or something writes to selected tables in spite of any fence.',
    action: 'Grant or stop what the finding names on the source.',
  },
  'fence-passes': {
    level: 'warns',
    meaning: 'Some writes pass the fence.',
    action: 'Stop what the finding names before the cutover, if it writes to moved tables.',
  },
  'no-way-back': {
    level: 'blocks',
    meaning:
      'The input asks for a way back, and its slot on the target could not be made or is lost. If you accept this finding and there is still no way back, the cutover goes on without one.',
    action: 'Correct what the finding names on the target; it is tried again with the next lease.',
  },
  'not-analyzed': {
    level: 'warns',
    meaning:
      'Tables of the target have no statistics: the first queries after the switch are planned badly.',
    action: 'Run `analyze` on the target for each table named.',
  },
  'long-writer': {
    level: 'warns',
    meaning:
      'A transaction on the source has been writing for longer than ten seconds: a cutover waits for its end. With a fence only writers of moved tables count.',
    action: 'Wait for it, or end it: its process id is in the finding.',
  },
  'prepared-transaction': {
    level: 'warns',
    meaning:
      'A prepared transaction is open on the source: the cutover refuses if it writes to a moved table. With a fence only such a one is named.',
    action: 'Commit it or roll it back on the source.',
  },
} as const satisfies Record<string, Entry>;

export type ReadinessCode = keyof typeof READINESS;

export function isReadinessCode(value: unknown): value is ReadinessCode {
  return typeof value === 'string' && Object.hasOwn(READINESS, value);
}
