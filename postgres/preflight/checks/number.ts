/**
 * Non-finite numbers: wal2json before 2.6 sends them as null. If the row has a key, the value is read from the source. Without a
 * key (identity FULL) the null could match another row's real null, so such tables are refused.
 */
import type { Finding } from '../../../contract/finding.ts';
import { ignoredAmong } from '../../catalog/ignored.ts';
import type { Relation } from '../../catalog/relation.ts';
import type { Check } from '../facts.ts';
import { error, list, nameOf, warning } from '../wording.ts';

/** float4, float8, numeric. Domains over them, arrays and composites are sent as text and are safe. */
const NON_FINITE_TYPES = new Set([700, 701, 1700]);

export const number: Check = ({ source, input }) => {
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
  const findings: Finding[] = [];
  if (full.length > 0) {
    const finding = known ? error : warning;
    findings.push(
      finding(
        'non-finite-numbers-full',
        `tables have REPLICA IDENTITY FULL, no key, and float or numeric columns: ${list(full.map(columnsOf))}; ${known ? "the source's wal2json (2.5 or older)" : 'wal2json 2.5 or older, if the source has it,'} sends NaN and infinities as null, so a change could match a wrong row`,
        'Update wal2json on the source to 2.6 or newer, give the tables a primary key, or exclude them.',
      ),
    );
  }
  if (known && bare.length > 0) {
    findings.push(
      warning(
        'non-finite-numbers',
        `the source's wal2json (2.5 or older) sends NaN and infinities as null, and without a key their values cannot be read from the source: an INSERT with a null in ${list(bare.map(columnsOf))} stops the stream (ChangeFailed)`,
        'Update wal2json on the source to 2.6 or newer, or give the tables a primary key, unless these columns are never null, NaN or infinite.',
      ),
    );
  }
  if (known && keyed.length > 0) {
    findings.push(
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
    );
  }
  return findings;
};

/** Names of the columns in which a null may be a non-finite number. */
export function nonFiniteColumns({ columns }: Relation): string[] {
  return columns.filter(({ typeOid }) => NON_FINITE_TYPES.has(typeOid)).map(({ name }) => name);
}

function keyColumnsOf(table: Relation): string {
  const names = nonFiniteColumns(table).filter((name) => table.key?.includes(name));
  return `${nameOf(table)} (${list(names)})`;
}

function columnsOf(table: Relation): string {
  return `${nameOf(table)} (${list(nonFiniteColumns(table))})`;
}
