/** The states that a verification reads under and a repair writes at: the anchors of the running stream. */
import type { Migration } from '../../contract/migration.ts';
import { liveAnchor, withAnchor } from './anchor.ts';
import type { StandingSource } from './held-state.ts';

export const anchorStates: StandingSource = {
  live: (target, migration: Migration) => liveAnchor(target, migration),
  hold: (migration, work, use, holdMs) =>
    withAnchor(migration, work, use, holdMs === undefined ? {} : { holdMs }),
  holdStanding: (migration, work, locked, use) =>
    withAnchor(migration, work, (anchor) => use(anchor), { locked }),
};
