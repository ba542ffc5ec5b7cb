/** What the new database needs so that the way back can read its changes: known on day one, because some of it is a restart. */
import { identifier, list, nameOf, sqlName, span, statements } from '../wording.ts';
import { defineCheck, raising, refuses, refusesOrWarns, warns, type Found } from '../check.ts';
import { libraries } from '../facts/allowed-plugins.ts';
import { nonFiniteColumns } from '../facts/non-finite-columns.ts';
import { decoding, type DecodingFacts } from '../facts/returning.ts';
import { relations } from '../facts/selected.ts';
import type { Relation } from '../../catalog/relation.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error, warning } = raising({
  'way-back-wal-level': refuses("The target's WAL cannot be decoded, which the way back needs."),
  'way-back-plugin': refuses('wal2json is missing, refused or too old on the target.'),
  'way-back-slot': refuses('The target has no free replication slot or WAL sender.'),
  'way-back-replication': refuses('The role may not create replication slots on the target.'),
  'way-back-identity': refuses(
    'Existing tables of the target have no replica identity: their changes cannot go back.',
  ),
  'way-back-limit': warns('The target may invalidate the slot of the way back.'),
  'way-back-numbers': refusesOrWarns(
    "The target's wal2json sends NaN and infinities as null; without a key a change could match a wrong row.",
  ),
});

type Target = ServerFacts & { readonly decoding: DecodingFacts };

export const wayBackDecoding = defineCheck({
  codes,
  source: { relations },
  target: { decoding },
  find: ({ source, target }) => {
    if (target?.decoding == null) return [];
    const facts: Target = { ...target, decoding: target.decoding };
    return [
      walLevel(facts),
      plugin(facts),
      room(facts),
      replication(facts),
      identity(facts),
      limits(facts),
      numbers(facts, source?.relations ?? []),
    ];
  },
});

function walLevel({ decoding: { walLevel: level } }: Target): Found {
  if (level === 'logical') return [];
  return error(
    'way-back-wal-level',
    `wal_level on the target is ${level}, but the way back needs logical`,
    "On the target: alter system set wal_level = 'logical'; then restart the server, now, while no one uses it.",
  );
}

function plugin({
  major,
  decoding: { plugin: found, outputPluginLibraries: list },
}: Target): Found {
  if (found.state === 'missing') {
    return error(
      'way-back-plugin',
      'the output plugin wal2json is not installed on the target',
      `Install it on the target's server (Debian and Ubuntu: postgresql-${major}-wal2json; Red Hat: wal2json_${major}); no restart is needed.`,
    );
  }
  if (found.state === 'refused' || (list !== null && !libraries(list).includes('wal2json'))) {
    return error(
      'way-back-plugin',
      'the target does not allow wal2json: output_plugin_libraries does not list it',
      'On the target, add wal2json to the present entries: alter system set output_plugin_libraries = …, wal2json; select pg_reload_conf();',
    );
  }
  if (found.refusedOptions.length === 0) return [];
  return error(
    'way-back-plugin',
    `the target's wal2json lacks options that walferry needs: ${found.refusedOptions.join(', ')}`,
    'Update wal2json on the target to 2.5 or newer.',
  );
}

function room({ decoding: { slots, senders } }: Target): Found {
  return [
    slots.used >= slots.max &&
      error(
        'way-back-slot',
        `all replication slots of the target are in use (${slots.used} of max_replication_slots = ${slots.max})`,
        `On the target: alter system set max_replication_slots = ${slots.used + 4}; then restart the server.`,
      ),
    senders.used >= senders.max &&
      error(
        'way-back-slot',
        `all WAL senders of the target are in use (${senders.used} of max_wal_senders = ${senders.max})`,
        `On the target: alter system set max_wal_senders = ${senders.used + 4}; then restart the server.`,
      ),
  ];
}

/** A slot that could be created proves the right, which hosted servers grant in their own way. */
function replication({ role, decoding: { plugin: found } }: Target): Found {
  if (found.state !== 'denied') return [];
  return error(
    'way-back-replication',
    `role ${role.name} may not create replication slots on the target`,
    `As a superuser of the target: alter role ${identifier(role.name)} replication; (on hosted servers: grant the provider's replication role)`,
  );
}

/** walferry creates the others with the source's replica identity. */
function identity({ decoding: { existing } }: Target): Found {
  const without = existing.filter(
    (one) => one.kind === 'r' && one.identity !== 'f' && one.key === null,
  );
  if (without.length === 0) return [];
  return error(
    'way-back-identity',
    `updates and deletes of existing tables on the target cannot go back, because these have no usable replica identity: ${list(without.map(nameOf))}`,
    `On the target: ${statements(without.map((one) => `alter table ${sqlName(one)} replica identity full`))} Or give them a primary key.`,
  );
}

function limits({ decoding: { idleSeconds, keepBytes } }: Target): Found {
  return [
    idleSeconds > 0 &&
      warning(
        'way-back-limit',
        `the target invalidates slots that are idle for ${span(idleSeconds)} (idle_replication_slot_timeout), and the slot of the way back is idle while the migration is paused`,
        'On the target: alter system set idle_replication_slot_timeout = 0; select pg_reload_conf();',
      ),
    keepBytes !== null &&
      warning(
        'way-back-limit',
        'the target limits the WAL of a slot (max_slot_wal_keep_size): the way back is lost if the old database is away for longer than that',
        "On the target: alter system set max_slot_wal_keep_size = '-1'; select pg_reload_conf(); and watch the disk.",
      ),
  ];
}

function numbers(
  { decoding: { plugin: found, existing } }: Target,
  moved: readonly Relation[],
): Found {
  if (found.numericAsText !== false) return [];
  const keyless = existing.filter(
    (one) =>
      one.kind === 'r' &&
      one.identity === 'f' &&
      one.key === null &&
      nonFiniteColumns(one).length > 0,
  );
  const action = 'Update wal2json on the target to 2.6 or newer.';
  if (keyless.length > 0) {
    return error(
      'way-back-numbers',
      `the target's wal2json (2.5 or older) sends NaN and infinities as null, and these tables have no key to read them back: ${list(keyless.map(nameOf))}`,
      action,
    );
  }
  if (!moved.some((one) => nonFiniteColumns(one).length > 0)) return [];
  return warning(
    'way-back-numbers',
    "the target's wal2json (2.5 or older) sends NaN and infinities as null: the way back reads them from the target by key, which is slower; a table without a key that holds one stops it",
    action,
  );
}
