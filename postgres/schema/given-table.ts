/** Tables that the operator created on the target: their columns have to match, and their triggers must not fire. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import {
  compareColumns,
  partitionsInTheWay,
  renderDifferences,
} from '../catalog/column-difference.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationsOf } from '../catalog/row-destination.ts';
import type { Session } from '../session/session.ts';
import { readEnabledOnPlanned } from './enabled-trigger.ts';
import { probeFiringStates, disableFound } from './disable-trigger.ts';

/** Checks that the columns of tables created by the operator match. */
export async function checkGiven(
  client: pg.ClientBase,
  relations: readonly Relation[],
): Promise<void> {
  if (relations.length === 0) return;
  const there = await readRelationsNamed(client, destinationsOf(relations));
  const differences = compareColumns(relations, there);
  if (relations.some(({ viaRoot }) => viaRoot !== null)) {
    differences.push(...partitionsInTheWay(relations, there));
  }
  if (differences.length > 0) {
    throw new MigrationError(
      'SchemaDrift',
      `tables on the target do not match the source: ${renderDifferences(differences)}`,
    );
  }
}

/**
 * Disables what would fire on the operator's tables while changes are applied. Tables that walferry creates have no
 * triggers or rules until the cutover. Runs after the registration, in batches: a retry continues with what is still enabled.
 */
export async function disableGiven(
  session: Session,
  migration: Migration,
  work: Work,
): Promise<void> {
  await session.run(async (client) => {
    const states = await probeFiringStates(client);
    const enabled = await readEnabledOnPlanned(client, migration, states, 'given');
    await disableFound(client, migration, enabled, false, (triggers) => {
      work.signal.throwIfAborted();
      work.beat({ step: 'disabling triggers', triggers });
    });
  });
}
