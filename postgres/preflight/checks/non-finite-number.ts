/**
 * Non-finite numbers: wal2json before 2.6 sends them as null. If the row has a key, the value is read from the source. Without a
 * key (identity FULL) the null could match another row's real null, so such tables are refused.
 */
import { ignoredAmong } from '../../catalog/ignore-patterns.ts';
import type { Relation } from '../../catalog/relation.ts';
import { list, nameOf } from '../wording.ts';
import { defineCheck, raising, refusesOrWarns, warns } from '../check.ts';
import { nonFiniteColumns } from '../facts/non-finite-columns.ts';
import { plugin } from '../facts/plugin.ts';
import { relations } from '../facts/selected.ts';

const { codes, error, warning } = raising({
  'non-finite-numbers-full': refusesOrWarns(
    'With wal2json before 2.6, changes could match a wrong row: REPLICA IDENTITY FULL, no key, float or numeric columns.',
  ),
  'non-finite-numbers': warns(
    'wal2json before 2.6 sends NaN and infinities as null; their values are read from the source by key.',
  ),
});

export const number = defineCheck({
  codes,
  source: { relations, plugin },
  find: ({ source, input }) => {
    if (source === null || source.plugin.numericAsText === true) return [];
    // Not tried: nothing is known, so nothing is refused for it.
    const known = source.plugin.numericAsText === false;
    const exposed = source.relations.filter(
      (one) => one.kind === 'r' && nonFiniteColumns(one).length > 0,
    );
    const full = exposed.filter(
      (one) => one.identity === 'f' && (one.key === null || one.viaRoot?.uniqueKey === false),
    );
    const { missingIdentity } = ignoredAmong(source.relations, input.ignore);
    const bare = exposed.filter(
      (one) => one.identity !== 'f' && one.key === null && missingIdentity(one),
    );
    const keyless = new Set([...full, ...bare]);
    const keyed = exposed.filter((one) => !keyless.has(one));
    const inKey = keyed.filter((one) =>
      nonFiniteColumns(one).some((name) => one.key?.includes(name)),
    );
    const finding = known ? error : warning;
    return [
      full.length > 0 &&
        finding(
          'non-finite-numbers-full',
          `tables have REPLICA IDENTITY FULL, no key, and float or numeric columns: ${list(full.map(columnsOf))}; ${known ? "the source's wal2json (2.5 or older)" : 'wal2json 2.5 or older, if the source has it,'} sends NaN and infinities as null, so a change could match a wrong row`,
          'Update wal2json on the source to 2.6 or newer, give the tables a primary key, or exclude them.',
        ),
      known &&
        bare.length > 0 &&
        warning(
          'non-finite-numbers',
          `the source's wal2json (2.5 or older) sends NaN and infinities as null, and without a key their values cannot be read from the source: an INSERT with a null in ${list(bare.map(columnsOf))} stops the stream (ChangeFailed)`,
          'Update wal2json on the source to 2.6 or newer, or give the tables a primary key, unless these columns are never null, NaN or infinite.',
        ),
      known &&
        keyed.length > 0 &&
        warning(
          'non-finite-numbers',
          `the source's wal2json (2.5 or older) sends NaN and infinities as null in ${list(keyed.map(columnsOf))}, so every null there is read from the source by key, which is slower${
            inKey.length === 0
              ? ''
              : `; these tables have such a column in the key: ${list(inKey.map(keyColumnsOf))}, and a change of a row whose key is NaN or infinite stops the stream (ChangeFailed)`
          }`,
          inKey.length === 0
            ? 'Nothing is lost. wal2json 2.6 or newer on the source avoids these reads.'
            : 'If the key has such a column, change keys that are NaN or infinite on the source before the start, or exclude the table: once the stream has stopped at such a key, only wal2json 2.6 or newer on the source lets it continue. Other tables lose nothing.',
        ),
    ];
  },
});

function keyColumnsOf(table: Relation): string {
  const names = nonFiniteColumns(table).filter((name) => table.key?.includes(name));
  return `${nameOf(table)} (${list(names)})`;
}

function columnsOf(table: Relation): string {
  return `${nameOf(table)} (${list(nonFiniteColumns(table))})`;
}
