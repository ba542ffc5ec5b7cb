/**
 * The identity of a migration: its workflow's `firstExecutionRunId`, unchanged by continue-as-new and reset. Never the
 * workflow id alone, which can be reused.
 */

/** What every database step needs of its migration. Small and free of secrets: it is activity input. */
export interface Migration {
  /** `firstExecutionRunId` of the workflow. */
  readonly id: string;
  readonly workflowId: string;
  /** Service name of the source. */
  readonly source: string;
  /** Service name of the target. */
  readonly target: string;
  /** Name of the replication slot, from slot-name.ts. */
  readonly slot: string;
}
