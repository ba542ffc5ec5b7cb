/** What the rehearsal found: plain data for the checks. */
import type { MigrationError } from '../../../contract/failure.ts';
import type { Together } from '../../dump/lock-table-full.ts';

export interface RefusedObject {
  readonly kind: string;
  readonly schema: string | null;
  readonly name: string;
  readonly state: string;
  /** Null: it could not be created. Otherwise the owner that it could not be transferred to. */
  readonly owner: string | null;
}

export interface RehearsalFacts {
  readonly refused: readonly RefusedObject[];
  /** Owners that lack CREATE on a schema, which our role may not grant them. */
  readonly owners: readonly { readonly schema: string; readonly owner: string }[];
  /** Comments and grants on objects of other roles, described, with the statements of the grants. */
  readonly others: readonly { readonly name: string; readonly grants: string | null }[];
  /** Event triggers of the target that refuse something: with the state to restore, and what they refuse. */
  readonly triggers: readonly BlockingTrigger[];
  /** Check constraints that are added at the cutover. */
  readonly checks: readonly { readonly name: string; readonly functions: readonly string[] }[];
  /** Tables that are dumped together, if more than may be locked at once. */
  readonly together?: Together | null;
  /** Number of entries that were not tried for lack of time. */
  readonly untried: number;
  /** Why the rehearsal was not completed; null if it was. */
  readonly failure: MigrationError | null;
}

export interface BlockingTrigger {
  readonly name: string;
  /** Present state: `enable`, `enable always` or `enable replica`. */
  readonly state: string;
  readonly refused: string;
}
