/**
 * Partition keys by which the two servers choose different partitions: the copy puts each row into the partition of the same
 * name, which may reject it. Through the root (`tables.viaPartitionRoot`) the target chooses the partition.
 */
import {
  differsByServer,
  readCollationVersions,
  readHashes,
  readPartitionKeys,
  type KeyCollation,
  type PartitionKey,
} from '../../catalog/partition-key.ts';
import { isViaRoot } from '../../catalog/row-destination.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { list, nameOf, patternsOf } from '../wording.ts';
import { defineCheck, raising, refusesOrWarns, type Values } from '../check.ts';
import { readRelationsNamed } from '../../catalog/read-relations.ts';
import { locale } from '../facts/locale.ts';
import { relations, selectedOids } from '../facts/selected.ts';
import { tables } from '../facts/target-tables.ts';
import {
  ofSource,
  shared,
  type Reading,
  type SourceReading,
  type TargetReading,
} from '../reading.ts';

const { codes, error, warning } = raising({
  'partition-key': refusesOrWarns(
    'The target would put the same rows into different partitions (hash of an enum, text sorted differently); a warning if that is uncertain.',
  ),
});

interface Checked {
  readonly key: PartitionKey;
  /** Why rows belong to other partitions on the target. */
  readonly refused: readonly string[];
  /** Why they may. */
  readonly unsure: readonly string[];
}

const both = { locale, hashes: ({ client }: Reading) => readHashes(client) };
const partitionKeys = shared(async (of: SourceReading) =>
  readPartitionKeys(of.client, await selectedOids(of)),
);

export const partitionChoice = defineCheck({
  codes,
  both,
  source: { relations, partitionKeys },
  target: { partitionKeys: readOwnKeys, collationVersions: readVersions },
  find: ({ source, target }) => {
    if (source === null || target === null) return [];
    const through = new Set(
      source.relations.filter((one) => one.viaRoot && !isViaRoot(one)).map(keyOfName),
    );
    const roots = new Set(source.relations.filter(isViaRoot).map(keyOfName));
    // If the target has its own bounds, those count.
    const there = new Map(target.partitionKeys.map((key) => [keyOfName(key), key]));
    const checked = source.partitionKeys
      .filter((key) => !roots.has(keyOfName(key)) && !through.has(keyOfName(key)))
      .map((key) => check(there.get(keyOfName(key)) ?? key, source, target));
    const refused = checked.filter((one) => one.refused.length > 0);
    const unsure = checked.filter((one) => one.refused.length === 0 && one.unsure.length > 0);

    return [
      refused.length > 0 &&
        error(
          'partition-key',
          `the target would put rows of these tables into different partitions: ${list(refused.map(({ key, refused: why }) => `${nameOf(key)} (${why.join('; ')})`))}; its partitions would reject rows of the source's partitions (SQLSTATE 23514)`,
          `Create these tables on the target with the partitions that you want, and list them in "tables": {"viaPartitionRoot": [${patternsOf(refused.map(({ key }) => key))}]}. Or exclude them.`,
        ),
      unsure.length > 0 &&
        warning(
          'partition-key',
          `the target may put rows of these tables into different partitions: ${list(unsure.map(({ key, unsure: why }) => `${nameOf(key)} (${why.join('; ')})`))}`,
          'A row that belongs to another partition on the target stops the copy (CopyFailed) or the stream (ChangeFailed) with SQLSTATE 23514; no row is lost. To be safe, create these tables on the target and list them in "tables.viaPartitionRoot".',
        ),
    ];
  },
});

type Target = Values<typeof both> & {
  readonly collationVersions: Awaited<ReturnType<typeof readVersions>>;
};

function check(key: PartitionKey, source: Values<typeof both>, target: Target): Checked {
  const refused = [...differsByServer(key)];
  const unsure: string[] = [];
  const differing = key.hashes.filter(
    (name) => source.hashes.get(name) !== target.hashes.get(name),
  );
  if (differing.length > 0) refused.push(`${list(differing)} returns different hashes there`);
  if (key.own.length > 0) unsure.push(`${list(key.own)} must return the same results there`);
  for (const collation of key.collations) {
    // Deterministic collations compare and hash by bytes.
    if (key.strategy !== 'r' && collation.deterministic) continue;
    const answer = compare(collation, source, target);
    if (answer?.refuses === true) refused.push(answer.what);
    else if (answer) unsure.push(answer.what);
  }
  return { key, refused, unsure };
}

/** Sorts by bytes or code points, independently of any library. */
function isBytes({ provider, locale }: KeyCollation): boolean {
  return provider === 'b' || (provider === 'c' && /^(C|POSIX)(\.|$)/.test(locale));
}

function compare(
  collation: KeyCollation,
  source: Values<typeof both>,
  target: Target,
): { readonly refuses: boolean; readonly what: string } | null {
  const { provider, locale, version, inherited } = collation;
  if (inherited) {
    const [here, there] = [nameOfLocale(source), nameOfLocale(target)];
    if (here !== there) {
      return {
        refuses: true,
        what: `text is sorted by ${here} on the source and by ${there} on the target`,
      };
    }
  }
  if (isBytes(collation)) return null;
  const other = inherited
    ? target.locale.version
    : (target.collationVersions.find((one) => one.provider === provider && one.locale === locale)
        ?.here ?? null);
  if (version !== null && version === other) return null;
  return {
    refuses: false,
    what: `text is sorted by ${locale}, whose version is ${version ?? 'unknown'} on the source and ${other ?? 'unknown'} on the target`,
  };
}

/** `en_US.UTF-8` and `en_US.utf8` are the same locale. */
function nameOfLocale({ locale: found }: Values<typeof both>): string {
  return `${found.provider} ${(found.locale ?? found.collate).replace(/\.utf-?8$/i, '.UTF-8')}`;
}

/** Of selected tables that are partitioned on the target. */
async function readOwnKeys(of: TargetReading): Promise<PartitionKey[]> {
  const partitioned = (await tables(of)).filter(({ kind }) => kind === 'p');
  const found = await readRelationsNamed(of.client, partitioned);
  return await readPartitionKeys(
    of.client,
    found.map(({ oid }) => oid),
  );
}

/** Collations of the source's partition keys, with their versions on the target. */
async function readVersions(of: TargetReading) {
  const keys = await ofSource(of, partitionKeys, []);
  return await readCollationVersions(
    of.client,
    keys.flatMap(({ collations }) => collations),
  );
}
