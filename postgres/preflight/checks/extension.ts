/** Extensions are created on the target before the tables that use them; their member tables are not copied. */
import type { Finding } from '../../../contract/finding.ts';
import { SQLSTATE } from '../../connection/failure.ts';
import type { ExtensionFacts } from '../../catalog/extension.ts';
import { createsTables, type Check, type SourceFacts, type TargetFacts } from '../facts.ts';
import type { OfferedExtension } from '../read/extension.ts';
import { error, identifier, list, statements, warning } from '../wording.ts';

export const extension: Check = ({ source, target, input }) => {
  if (source === null) return [];
  // If the operator created the tables, the extensions are theirs, too.
  const created = target !== null && createsTables(target);
  return [
    ...(created ? offered(source, target) : []),
    ...rows(kept(source), created ? otherContent(source, target) : [], input.ignore.extensionRows),
    ...(created ? addedMembers(source, target, input.ignore.extensionRows) : []),
  ];
};

/** Without those that the input ignores. */
function kept({ extensions, left }: SourceFacts): ExtensionFacts[] {
  return extensions.filter(({ name }) => !left.extensions.includes(name));
}

interface Pair {
  readonly wanted: ExtensionFacts;
  readonly found: OfferedExtension;
}

function offered(source: SourceFacts, target: TargetFacts): Finding[] {
  const found = new Map(target.extensions.map((one) => [one.name, one]));
  const none = (name: string): OfferedExtension => ({
    name,
    installed: null,
    available: null,
    refused: null,
  });
  const pairs = kept(source).map((wanted) => ({
    wanted,
    found: found.get(wanted.name) ?? none(wanted.name),
  }));
  const absent = pairs.filter(({ found: one }) => one.installed === null);
  return [
    ...missing(absent.filter(({ found: one }) => one.available === null)),
    ...forbidden(
      absent.filter(({ found: one }) => one.refused === SQLSTATE.insufficientPrivilege),
      target,
    ),
    ...refused(
      absent.filter(
        ({ found: one }) => one.refused !== null && one.refused !== SQLSTATE.insufficientPrivilege,
      ),
      target,
    ),
    ...elsewhere(pairs, target),
    ...older(pairs),
  ];
}

const IGNORE_UNUSED =
  'Or ignore those that nothing needs: "ignore": {"extensions": ["NAME", …]} in the input.';

function missing(pairs: readonly Pair[]): Finding[] {
  if (pairs.length === 0) return [];
  return [
    error(
      'extension-missing',
      `extensions of the source are not available on the target's server: ${list(pairs.map(({ wanted }) => `${wanted.name} ${wanted.version}`))}`,
      `Install their packages on the target's server (select name, default_version from pg_available_extensions lists what it has). ${IGNORE_UNUSED}`,
    ),
  ];
}

/** Creates a missing schema first; CREATE EXTENSION needs no schema for those that it uses on its own. */
function creating({ name, schema }: ExtensionFacts, { schemas }: TargetFacts): string[] {
  const own = schema === 'public' || schema === 'pg_catalog';
  const create = `create extension ${identifier(name)}`;
  if (own) return [create];
  const place = identifier(schema);
  const first = schemas.includes(schema) ? [] : [`create schema if not exists ${place}`];
  return [...first, `${create} schema ${place}`];
}

function forbidden(pairs: readonly Pair[], target: TargetFacts): Finding[] {
  if (pairs.length === 0) return [];
  return [
    error(
      'extension-right',
      `role ${target.role.name} may not create extensions on the target (tried, SQLSTATE 42501): ${list(pairs.map(({ wanted }) => wanted.name))}`,
      `As a superuser of the target: ${statements(pairs.flatMap(({ wanted }) => creating(wanted, target)))} ${IGNORE_UNUSED}`,
    ),
  ];
}

function refused(pairs: readonly Pair[], target: TargetFacts): Finding[] {
  if (pairs.length === 0) return [];
  return [
    error(
      'extension-refused',
      `extensions of the source are available on the target, but creating them fails (tried): ${list(pairs.map(({ wanted, found }) => `${wanted.name} (SQLSTATE ${found.refused ?? ''})`))}`,
      `To see the reason (a library missing in shared_preload_libraries, a name in use), on the target: ${statements(pairs.flatMap(({ wanted }) => creating(wanted, target)))} ${IGNORE_UNUSED}`,
    ),
  ];
}

/** The statements of pg_dump qualify types and functions with their schema on the source. */
function elsewhere(pairs: readonly Pair[], target: TargetFacts): Finding[] {
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
  return [
    error(
      'extension-schema',
      `extensions are in another schema on the target: ${list(moved.map(({ wanted, found }) => `${wanted.name} (${wanted.schema} on the source, ${found.installed?.schema ?? ''} on the target)`))}`,
      advice.join(' '),
    ),
  ];
}

function isBoundElsewhere(wanted: ExtensionFacts, { installed }: OfferedExtension): boolean {
  const to = installed?.boundTo ?? null;
  return to !== null && to !== wanted.schema;
}

/** `set schema` is refused (0A000) for an extension that is not relocatable: it has to be recreated. */
function moving({ wanted, found }: Pair, target: TargetFacts): string[] {
  const { name, schema } = wanted;
  if (found.installed?.relocatable !== true) {
    return [`drop extension ${identifier(name)}`, ...creating(wanted, target)];
  }
  const first = target.schemas.includes(schema)
    ? []
    : [`create schema if not exists ${identifier(schema)}`];
  return [...first, `alter extension ${identifier(name)} set schema ${identifier(schema)}`];
}

function older(pairs: readonly Pair[]): Finding[] {
  const old = pairs.filter(({ wanted, found }) => {
    const version = found.installed?.version ?? found.available;
    return version !== null && compareVersions(version, wanted.version) < 0;
  });
  if (old.length === 0) return [];
  const shown = old.map(
    ({ wanted, found }) =>
      `${wanted.name} (${wanted.version} on the source, ${found.installed?.version ?? found.available ?? ''} on the target)`,
  );
  return [
    warning(
      'extension-older',
      `extensions are older on the target: ${list(shown)}`,
      "The target will refuse objects that only the newer version supports. Update the packages on the target's server, then the installed extensions: alter extension … update;",
    ),
  ];
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

/** Members on the source with their counterpart on the target; only of extensions that the target has or can create. */
function pairsOf(source: SourceFacts, target: TargetFacts) {
  const offered = target.extensions.filter(
    ({ installed, available, refused: state }) =>
      installed !== null || (available !== null && state === null),
  );
  const versions = new Map(
    offered.map(({ name, installed, available }) => [name, installed?.version ?? available]),
  );
  const there = new Map(target.members.map((one) => [`${one.extension} ${one.name}`, one]));
  return kept(source).flatMap(({ name, version }) =>
    versions.has(name)
      ? source.members
          .filter(({ extension: of }) => of === name)
          .map((member) => ({
            member,
            found: there.get(`${name} ${member.name}`),
            sameVersion: versions.get(name) === version,
          }))
      : [],
  );
}

/** Tables and sequences that CREATE EXTENSION creates and that hold other content than it inserts. */
function otherContent(source: SourceFacts, target: TargetFacts): string[] {
  return pairsOf(source, target)
    .filter(({ member, found, sameVersion }) => {
      if (found === undefined || !member.used) return false;
      // Another version inserts other rows: only content that is unreadable, or empty on the target, is reported.
      return (
        member.content === null || (sameVersion ? found.content !== member.content : !found.used)
      );
    })
    .map(({ member }) => `${member.name.replace(/^table /, '')} (${member.extension})`);
}

/** Members that users added: CREATE EXTENSION does not create them on the target. */
function addedMembers(source: SourceFacts, target: TargetFacts, accepted: boolean): Finding[] {
  const lost = pairsOf(source, target).filter(
    ({ member, found, sameVersion }) =>
      found === undefined && (member.relation !== null || sameVersion),
  );
  const tables = lost.filter(({ member }) => member.relation !== null);
  const shown = (ones: typeof lost) =>
    list(ones.map(({ member }) => `${member.name} (${member.extension})`));
  const dropping = (ones: typeof lost) =>
    statements(
      ones.map(
        ({ member }) => `alter extension ${identifier(member.extension)} drop ${member.name}`,
      ),
    );
  if (lost.length === 0) return [];
  if (tables.length === 0 || accepted) {
    return [
      warning(
        'extension-members',
        `the target's extensions do not create these members, so they are not moved: ${shown(lost)}`,
        `To move them like other objects, run on the source: ${dropping(lost)}`,
      ),
    ];
  }
  return [
    error(
      'extension-members',
      `tables or sequences were added to an extension that does not create them, so they and their rows would be missing on the target: ${shown(lost)}`,
      `To move them, run on the source: ${dropping(lost)} Add them to the extension again on the target after the cutover. Or accept losing them: "ignore": {"extensionRows": true} in the input.`,
    ),
  ];
}

function rows(
  extensions: readonly ExtensionFacts[],
  more: readonly string[],
  accepted: boolean,
): Finding[] {
  const config = extensions.flatMap(({ name, tablesWithRows }) =>
    tablesWithRows.map((table) => `${table} (${name})`),
  );
  const tables = [...config, ...more];
  if (tables.length === 0) return [];
  const message = `tables of extensions hold rows that users inserted (or that the role may not read), and these are not moved: ${list(tables)}`;
  const how = 'copy them manually before the cutover';
  return [
    accepted
      ? warning('extension-rows', message, `The input ignores them: ${how}.`)
      : error(
          'extension-rows',
          message,
          `Set "ignore": {"extensionRows": true} in the input and ${how}.`,
        ),
  ];
}
