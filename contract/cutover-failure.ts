/**
 * The failures of a cutover: part of the catalogue, with the same rules (failure-catalogue.ts). After each of them the source
 * takes writes, unless the outcome is `switched`.
 */
export const CUTOVER_FAILURES = {
  NotReady: {
    handling: 'operator',
    meaning:
      'The cutover was refused before anything was changed: findings of readiness block it ([readiness](readiness.md)).',
    action:
      'Streaming continues. Do what each finding says, or accept it by name: `--input \'{"accept": ["…"]}\'`.',
  },
  FenceRefused: {
    handling: 'operator',
    meaning: 'The fence could not be made, or does not bind; the message says why.',
    action: 'Do what the message says, or choose another kind of fence.',
  },
  WriterRemains: {
    handling: 'operator',
    meaning:
      'A transaction that wrote to a selected table before the fence was armed did not end in time.',
    action:
      'End the session or the prepared transaction that the message names, then call cutover again.',
  },
  StillWriting: {
    handling: 'operator',
    meaning:
      'Selected tables changed after the end mark, or a sequence moved after it was set: the writers were not stopped. Or large objects were created after preflight, which no stream carries.',
    action:
      'The cutover was undone and streaming continues. Stop the writers (also what draws from a named sequence, on either side), end their transactions, remove any large objects named in the message, then call cutover again.',
  },
  CutoverRepeated: {
    handling: 'operator',
    meaning:
      'Temporal repeated a cutover that an earlier run of the workflow had begun: the workflow was reset without `--reapply-exclude Update`.',
    action:
      'The cutover was undone and streaming continues. When the writers are stopped, call cutover again, with a new update id.',
  },
  Cancelled: {
    handling: 'operator',
    meaning: 'The operator cancelled the cutover with pause before the slot was dropped.',
    action: 'Call resume to continue streaming; a later cutover starts over.',
  },
  DowntimeTooLong: {
    handling: 'operator',
    meaning:
      'The cutover would take longer than its longest permitted downtime: refused before a write was stopped, or undone when the time was over.',
    action:
      'The source takes writes and streaming continues. Do what the message says about the step that takes the time, or call cutover with a greater maxDowntimeSeconds.',
  },
  AlreadySwitched: {
    handling: 'operator',
    meaning:
      'The outcome of a cutover of this migration is "switched": the target is the live database. A workflow that was reset finds this.',
    action:
      'Nothing: the migration completes. A call of cutover finds the outcome and stops no write.',
  },
  FenceKept: {
    handling: 'never',
    meaning:
      'The migration ended without a switch, but parts of its fence are left on the source. They are open: writes pass.',
    action: 'Drop what the message names, when the source is there and its tables are not locked.',
  },
  OutcomeUnknown: {
    handling: 'timed',
    meaning:
      'The target does not answer, and it alone knows whether the cutover is switched or undone: neither side may be opened until it does.',
    action:
      'Bring the target back. Only if it is shut down for good: walferry cutover-force-undo gives the writes back on the source.',
  },
} as const;
