/** Extensions are created on the target before the tables that use them; their own tables are theirs and are not copied. */
import type { Finding } from '../../../contract/finding.ts';
import { SQLSTATE } from '../../connection/failure.ts';
import type { ExtensionFacts } from '../../catalog/extension.ts';
import { createsTables, type Check, type SourceFacts, type TargetFacts } from '../facts.ts';
import type { OfferedExtension } from '../read/extension.ts';
import { error, identifier, list, statements, warning } from '../wording.ts';

export const extension: Check = ({ source, target, input }) => {
  if (source === null) return [];
  // With the tables there, extensions are the operator's, too.
  const created = target !== null && createsTables(target);
  return [
    ...(created ? offered(source, target) : []),
    ...rows(kept(source), created ? otherContent(source, target) : [], input.ignore.extensionRows),
    ...(created ? strangers(source, target, input.ignore.extensionRows) : []),
  ];
};

/** Without those that the input leaves out. */
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

function missing(pairs: readonly Pair[]): Finding[] {
  if (pairs.length === 0) return [];
  return [
    error(
      'extension-missing',
      `extensions of the source are not available on the target's server: ${list(pairs.map(({ wanted }) => `${wanted.name} ${wanted.version}`))}`,
      'Install their packages on the target\'s server (select name, default_version from pg_available_extensions shows what is there), or leave those that nothing needs: "ignore": {"extensions": ["NAME", …]} in the input.',
    ),
  ];
}

/** A schema that the target lacks comes first; what CREATE EXTENSION puts there by itself needs no name. */
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
      `As a superuser of the target: ${statements(pairs.flatMap(({ wanted }) => creating(wanted, target)))} Or leave those that nothing needs: "ignore": {"extensions": ["NAME", …]} in the input.`,
    ),
  ];
}

function refused(pairs: readonly Pair[], target: TargetFacts): Finding[] {
  if (pairs.length === 0) return [];
  return [
    error(
      'extension-refused',
      `extensions of the source are available on the target, and it refuses to create them (tried): ${list(pairs.map(({ wanted, found }) => `${wanted.name} (SQLSTATE ${found.refused ?? ''})`))}`,
      `There, to see the reason (a library that has to be in shared_preload_libraries, a name that is taken): ${statements(pairs.flatMap(({ wanted }) => creating(wanted, target)))} Or leave those that nothing needs: "ignore": {"extensions": ["NAME", …]} in the input.`,
    ),
  ];
}

/** The schema's statements name types and functions with the source's schema in front. */
function elsewhere(pairs: readonly Pair[], target: TargetFacts): Finding[] {
  const moved = pairs.filter(
    ({ wanted, found }) => found.installed !== null && found.installed.schema !== wanted.schema,
  );
  if (moved.length === 0) return [];
  const bound = moved.filter(({ wanted, found }) => isBoundElsewhere(wanted, found));
  const mend = moved.filter((pair) => !bound.includes(pair));
  const advice = [
    ...(mend.length > 0
      ? [`On the target: ${statements(mend.flatMap((pair) => moving(pair, target)))}`]
      : []),
    ...(bound.length > 0
      ? [
          `In the target's version ${list(bound.map(({ wanted, found }) => `${wanted.name} can only be in schema ${found.installed?.boundTo ?? ''}`))}: install the same version on both sides, or leave it out ("ignore": {"extensions": ["NAME", …]} in the input).`,
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

/** `set schema` is refused (0A000) for an extension that is not relocatable: it has to be made anew. */
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
      "Objects that only the newer version knows will be refused when the schema is copied. Update the packages on the target's server, and what is installed: alter extension … update;",
    ),
  ];
}

/** Versions are free text; numbers in them are compared as numbers, in their order. `3.3.2` < `3.10`. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (text.match(/\d+/g) ?? []).map(Number));
  for (let i = 0; i < Math.max(left?.length ?? 0, right?.length ?? 0); i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Members on both sides, by what the target has of them: only extensions that are there, or could be created, count. */
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

/** Tables and sequences that CREATE EXTENSION makes, and that hold something else than it puts there. */
function otherContent(source: SourceFacts, target: TargetFacts): string[] {
  return pairsOf(source, target)
    .filter(({ member, found, sameVersion }) => {
      if (found === undefined || !member.used) return false;
      // Another version brings other rows of its own: only content that was unreadable, or empty there, is reported.
      return (
        member.content === null || (sameVersion ? found.content !== member.content : !found.used)
      );
    })
    .map(({ member }) => `${member.name.replace(/^table /, '')} (${member.extension})`);
}

/** Members that the extension does not make: a user added them, and nothing makes them on the target. */
function strangers(source: SourceFacts, target: TargetFacts, accepted: boolean): Finding[] {
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
        `the target's extensions do not create these members, so they and their contents are left out: ${shown(lost)}`,
        `To move them like other objects, run on the source: ${dropping(lost)}`,
      ),
    ];
  }
  return [
    error(
      'extension-members',
      `tables or sequences were added to an extension that does not create them, so they and their rows would be missing on the target: ${shown(lost)}`,
      `Run on the source: ${dropping(lost)} They are then moved; add them to the extension on the target after the cutover. Or leave them behind: "ignore": {"extensionRows": true} in the input.`,
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
  const message = `tables of extensions hold rows that users put there (or that the role may not look at), and those are not moved: ${list(tables)}`;
  const how = 'copy them by hand before the cutover';
  return [
    accepted
      ? warning('extension-rows', message, `Left behind, as the input says: ${how}.`)
      : error(
          'extension-rows',
          message,
          `Set "ignore": {"extensionRows": true} in the input and ${how}.`,
        ),
  ];
}
