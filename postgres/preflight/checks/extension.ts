/** Extensions are created on the target before the tables that use them; their own tables are theirs and are not copied. */
import type { Finding } from '../../../contract/finding.ts';
import { createsTables, type Check, type SourceFacts, type TargetFacts } from '../facts.ts';
import type { ExtensionFacts, OfferedExtension } from '../read/extension.ts';
import { error, identifier, list, statements, warning } from '../wording.ts';

export const extension: Check = ({ source, target, input }) => {
  if (source === null) return [];
  // With the tables there, extensions are the operator's, too.
  const created = target !== null && createsTables(target);
  return [
    ...(created ? offered(source, target) : []),
    ...rows(source.extensions, input.leave.extensionRows),
  ];
};

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
    creatable: false,
  });
  const pairs = source.extensions.map((wanted) => ({
    wanted,
    found: found.get(wanted.name) ?? none(wanted.name),
  }));
  const absent = pairs.filter(({ found: one }) => one.installed === null);
  return [
    ...missing(absent.filter(({ found: one }) => one.available === null)),
    ...forbidden(
      absent.filter(({ found: one }) => one.available !== null && !one.creatable),
      target.role.name,
    ),
    ...elsewhere(pairs),
    ...older(pairs),
  ];
}

function missing(pairs: readonly Pair[]): Finding[] {
  if (pairs.length === 0) return [];
  return [
    error(
      'extension-missing',
      `extensions of the source are not available on the target's server: ${list(pairs.map(({ wanted }) => `${wanted.name} ${wanted.version}`))}`,
      "Install their packages on the target's server (select name, default_version from pg_available_extensions shows what is there), or drop them on the source if nothing uses them.",
    ),
  ];
}

function forbidden(pairs: readonly Pair[], role: string): Finding[] {
  if (pairs.length === 0) return [];
  const create = pairs.map(({ wanted: { name, schema } }) => {
    const where =
      schema === 'public' || schema === 'pg_catalog' ? '' : ` schema ${identifier(schema)}`;
    return `create extension ${identifier(name)}${where}`;
  });
  return [
    error(
      'extension-right',
      `role ${role} may not create extensions on the target: ${list(pairs.map(({ wanted }) => wanted.name))}`,
      `As a superuser of the target: ${statements(create)}`,
    ),
  ];
}

/** The schema's statements name types and functions with the source's schema in front. */
function elsewhere(pairs: readonly Pair[]): Finding[] {
  const moved = pairs.filter(
    ({ wanted, found }) => found.installed !== null && found.installed.schema !== wanted.schema,
  );
  if (moved.length === 0) return [];
  return [
    error(
      'extension-schema',
      `extensions are in another schema on the target: ${list(moved.map(({ wanted, found }) => `${wanted.name} (${wanted.schema} on the source, ${found.installed?.schema ?? ''} on the target)`))}`,
      `On the target: ${statements(moved.map(({ wanted }) => `alter extension ${identifier(wanted.name)} set schema ${identifier(wanted.schema)}`))}`,
    ),
  ];
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
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (text.match(/\d+/g) ?? []).map(Number));
  for (let i = 0; i < Math.max(left?.length ?? 0, right?.length ?? 0); i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function rows(extensions: readonly ExtensionFacts[], accepted: boolean): Finding[] {
  const tables = extensions.flatMap(({ name, tablesWithRows }) =>
    tablesWithRows.map((table) => `${table} (${name})`),
  );
  if (tables.length === 0) return [];
  const message = `tables of extensions hold rows that users put there (or that the role may not look at), and those are not moved: ${list(tables)}`;
  const how = 'copy them by hand before the cutover';
  return [
    accepted
      ? warning('extension-rows', message, `Left behind, as the input says: ${how}.`)
      : error(
          'extension-rows',
          message,
          `Set "leave": {"extensionRows": true} in the input and ${how}.`,
        ),
  ];
}
