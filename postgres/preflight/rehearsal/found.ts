/** What the rehearsal has found so far. */
import type { MigrationError } from '../../../contract/failure.ts';
import type { PlannedEntry } from '../../archive/entry-phase.ts';
import { SQLSTATE } from '../../connection/failure.ts';
import type { Together } from '../../dump/lock-table-full.ts';
import { NOT_FOUND } from '../../schema/run-entry.ts';
import type { BlockingTrigger, RefusedObject, RehearsalFacts } from './rehearsal-facts.ts';
import type { Refusal } from './watched-trigger.ts';

/** Covered by their own checks in more detail. */
const ELSEWHERE = new Set(['EXTENSION', 'EVENT TRIGGER']);
/** The server knows every object that they refer to, so pg_dump's dependencies are complete. */
const VIEWS = new Set(['VIEW', 'MATERIALIZED VIEW', 'RULE']);
/** Transient errors, caused by other sessions. */
const PASSING = new Set<string>([
  SQLSTATE.lockNotAvailable,
  SQLSTATE.deadlockDetected,
  SQLSTATE.queryCanceled,
]);

export class Found {
  readonly tried = new Set<number>();
  readonly failed = new Set<number>();
  readonly refused: RefusedObject[] = [];
  readonly owners = new Map<string, { schema: string; owner: string }>();
  readonly others: { name: string; grants: string | null }[] = [];
  readonly triggers = new Map<string, BlockingTrigger>();
  checks: RehearsalFacts['checks'] = [];
  together: Together | null = null;
  untried = 0;
  /** Whether everything is tried in one group. */
  whole = true;

  facts(failure: MigrationError | null = null): RehearsalFacts {
    return {
      refused: this.refused,
      owners: [...this.owners.values()],
      others: this.others,
      triggers: [...this.triggers.values()],
      checks: this.checks,
      together: this.together,
      untried: this.untried,
      failure,
    };
  }

  /** Each trigger once, with the first thing that it refused. */
  blame(triggers: readonly Omit<BlockingTrigger, 'refused'>[], refused: string): void {
    for (const one of triggers) {
      if (!this.triggers.has(one.name)) this.triggers.set(one.name, { ...one, refused });
    }
  }

  /** @param owner null: the object could not be created; otherwise it could not be transferred to this role. */
  note(entry: PlannedEntry, refusal: Refusal, owner: string | null): void {
    const { id, kind, schema, name } = entry;
    if (refusal.blamed.length > 0) {
      this.blame(refusal.blamed, `${kind} ${schema === null ? '' : `${schema}.`}${name}`);
      if (!refusal.done) this.failed.add(id);
      return;
    }
    if (owner === null) this.failed.add(id);
    // Function bodies refer to objects that are no recorded dependency, so these may be in another group.
    const elsewhere = !this.whole && NOT_FOUND.has(refusal.state) && !VIEWS.has(kind);
    if (elsewhere || PASSING.has(refusal.state)) this.untried += 1;
    else if (!ELSEWHERE.has(kind) && !this.tried.has(id)) {
      this.refused.push({ kind, schema, name, state: refusal.state, owner });
    }
  }
}
