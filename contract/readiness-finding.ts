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
  'definitions-differ': {
    level: 'warns',
    meaning:
      'Objects beside rows (indexes, constraints, functions, grants, …) differ between both sides.',
    action: 'Run the SQL that the comparison names on the target, or leave them as they are.',
  },
  'not-consistent': {
    level: 'warns',
    meaning:
      'The target is not consistent yet, or its foreign keys and triggers are not built: the cutover does it while writes are stopped.',
    action: 'Wait until `progress` shows every table as ready and the constraints as built.',
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
      'A transaction on the source has been writing for longer than ten seconds: a cutover waits for its end.',
    action: 'Wait for it, or end it: its process id is in the finding.',
  },
  'prepared-transaction': {
    level: 'warns',
    meaning:
      'A prepared transaction is open on the source: the cutover refuses if it writes to a moved table.',
    action: 'Commit it or roll it back on the source.',
  },
} as const satisfies Record<string, Entry>;

export type ReadinessCode = keyof typeof READINESS;

export function isReadinessCode(value: unknown): value is ReadinessCode {
  return typeof value === 'string' && Object.hasOwn(READINESS, value);
}
