/** Extensions are created on the target before the tables that use them. */
import { SQLSTATE } from '../../connection/failure.ts';
import type { ExtensionFacts } from '../../catalog/extension.ts';
import { identifier, list, statements } from '../wording.ts';
import { defineCheck, raising, refuses, warns, type Found } from '../check.ts';
import { ignored } from '../facts/ignored-object.ts';
import {
  extensions,
  kept,
  offer,
  type Offer,
  type OfferedExtension,
} from '../facts/offered-extension.ts';
import { schemas } from '../facts/target-schemas.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error, warning } = raising({
  'extension-missing': refuses('An extension of the source is not available on the target.'),
  'extension-right': refuses('The role may not create an extension on the target.'),
  'extension-refused': refuses('An extension is available on the target, but creating it fails.'),
  'extension-schema': refuses('The target has an extension in another schema.'),
  'extension-older': warns('The target has an older version of an extension.'),
});

export const extensionOffer = defineCheck({
  codes,
  source: { extensions, ignored },
  target: { offer, schemas, tables },
  find: ({ source, target }) => {
    // If the operator created the tables, the extensions are theirs, too.
    if (source === null || target === null || !createsTables(target)) return [];
    return offered(kept(source), target);
  },
});

interface Target extends ServerFacts {
  readonly offer: Offer;
  readonly schemas: readonly string[];
}

interface Pair {
  readonly wanted: ExtensionFacts;
  readonly found: OfferedExtension;
}

function offered(extensionsOfSource: readonly ExtensionFacts[], target: Target): Found {
  const found = new Map(target.offer.extensions.map((one) => [one.name, one]));
  const none = (name: string): OfferedExtension => ({
    name,
    installed: null,
    available: null,
    refused: null,
  });
  const pairs = extensionsOfSource.map((wanted) => ({
    wanted,
    found: found.get(wanted.name) ?? none(wanted.name),
  }));
  const absent = pairs.filter(({ found: one }) => one.installed === null);
  return [
    missing(absent.filter(({ found: one }) => one.available === null)),
    forbidden(
      absent.filter(({ found: one }) => one.refused === SQLSTATE.insufficientPrivilege),
      target,
    ),
    refused(
      absent.filter(
        ({ found: one }) => one.refused !== null && one.refused !== SQLSTATE.insufficientPrivilege,
      ),
      target,
    ),
    elsewhere(pairs, target),
    older(pairs),
  ];
}

const IGNORE_UNUSED =
  'Or ignore those that nothing needs: "ignore": {"extensions": ["NAME", …]} in the input.';

function missing(pairs: readonly Pair[]): Found {
  if (pairs.length === 0) return [];
  return error(
    'extension-missing',
    `extensions of the source are not available on the target's server: ${list(pairs.map(({ wanted }) => `${wanted.name} ${wanted.version}`))}`,
    `Install their packages on the target's server (select name, default_version from pg_available_extensions lists what it has). ${IGNORE_UNUSED}`,
  );
}

/** Creates a missing schema first; CREATE EXTENSION needs no schema for those that it uses on its own. */
function creating({ name, schema }: ExtensionFacts, { schemas }: Target): string[] {
  const own = schema === 'public' || schema === 'pg_catalog';
  const create = `create extension ${identifier(name)}`;
  if (own) return [create];
  const place = identifier(schema);
  const first = schemas.includes(schema) ? [] : [`create schema if not exists ${place}`];
  return [...first, `${create} schema ${place}`];
}

function forbidden(pairs: readonly Pair[], target: Target): Found {
  if (pairs.length === 0) return [];
  return error(
    'extension-right',
    `role ${target.role.name} may not create extensions on the target (tried, SQLSTATE 42501): ${list(pairs.map(({ wanted }) => wanted.name))}`,
    `As a superuser of the target: ${statements(pairs.flatMap(({ wanted }) => creating(wanted, target)))} ${IGNORE_UNUSED}`,
  );
}

function refused(pairs: readonly Pair[], target: Target): Found {
  if (pairs.length === 0) return [];
  return error(
    'extension-refused',
    `extensions of the source are available on the target, but creating them fails (tried): ${list(pairs.map(({ wanted, found }) => `${wanted.name} (SQLSTATE ${found.refused ?? ''})`))}`,
    `To see the reason (a library missing in shared_preload_libraries, a name in use), on the target: ${statements(pairs.flatMap(({ wanted }) => creating(wanted, target)))} ${IGNORE_UNUSED}`,
  );
}

/** The statements of pg_dump qualify types and functions with their schema on the source. */
function elsewhere(pairs: readonly Pair[], target: Target): Found {
  const moved = pairs.filter(
    ({ wanted, found }) => found.installed !== null && found.installed.schema !== wanted.schema,
  );
  if (moved.length === 0) return [];
  const bound = moved.filter(({ wanted, found }) => isBoundElsewhere(wanted, found));
  const movable = moved.filter((pair) => !bound.includes(pair));
  const advice = [
    ...(movable.length > 0
      ? [`On the target: ${statements(movable.flatMap((pair) => moving(pair, target)))}`]
      : []),
    ...(bound.length > 0
      ? [
          `In the target's version ${list(bound.map(({ wanted, found }) => `${wanted.name} can only be in schema ${found.installed?.boundTo ?? ''}`))}: install the same version on both sides, or ignore it ("ignore": {"extensions": ["NAME", …]} in the input).`,
        ]
      : []),
  ];
  return error(
    'extension-schema',
    `extensions are in another schema on the target: ${list(moved.map(({ wanted, found }) => `${wanted.name} (${wanted.schema} on the source, ${found.installed?.schema ?? ''} on the target)`))}`,
    advice.join(' '),
  );
}

function isBoundElsewhere(wanted: ExtensionFacts, { installed }: OfferedExtension): boolean {
  const to = installed?.boundTo ?? null;
  return to !== null && to !== wanted.schema;
}

/** `set schema` is refused (0A000) for an extension that is not relocatable: it has to be recreated. */
function moving({ wanted, found }: Pair, target: Target): string[] {
  const { name, schema } = wanted;
  if (found.installed?.relocatable !== true) {
    return [`drop extension ${identifier(name)}`, ...creating(wanted, target)];
  }
  const first = target.schemas.includes(schema)
    ? []
    : [`create schema if not exists ${identifier(schema)}`];
  return [...first, `alter extension ${identifier(name)} set schema ${identifier(schema)}`];
}

function older(pairs: readonly Pair[]): Found {
  const old = pairs.filter(({ wanted, found }) => {
    const version = found.installed?.version ?? found.available;
    return version !== null && compareVersions(version, wanted.version) < 0;
  });
  if (old.length === 0) return [];
  const shown = old.map(
    ({ wanted, found }) =>
      `${wanted.name} (${wanted.version} on the source, ${found.installed?.version ?? found.available ?? ''} on the target)`,
  );
  return warning(
    'extension-older',
    `extensions are older on the target: ${list(shown)}`,
    "The target will refuse objects that only the newer version supports. Update the packages on the target's server, then the installed extensions: alter extension … update;",
  );
}

/** Versions are free text: compares the numbers in them, in order. `3.3.2` < `3.10`. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (text.match(/\d+/g) ?? []).map(Number));
  for (let i = 0; i < Math.max(left?.length ?? 0, right?.length ?? 0); i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
