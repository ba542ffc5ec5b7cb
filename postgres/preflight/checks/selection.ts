/** Every pattern of the input matches something. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { error, list, nameOf, warning } from '../wording.ts';

export const selection: Check = ({ source, input }) => {
  if (source === null) return [];
  const findings: Finding[] = [];
  const { include, exclude, ignore } = source.idlePatterns;
  if (source.ownNameTaken) {
    findings.push(
      error(
        'source-own-schema',
        'the source has a schema "walferry" that walferry did not create: the name is reserved for control tables, so its tables would not be moved',
        'Rename the schema on the source (alter schema walferry rename to …), or drop it if no one needs it.',
      ),
    );
  }
  if (source.relations.length === 0) {
    const but = input.tables.exclude.length > 0 ? ` without ${list(input.tables.exclude)}` : '';
    findings.push(
      error(
        'nothing-selected',
        `the patterns select no table of the source database "${source.database}": ${list(input.tables.include)}${but}`,
        'Correct "tables" in the input (names as in the catalog, case-sensitive), or the source service.',
      ),
    );
  } else if (include.length > 0) {
    findings.push(
      error(
        'pattern-unmatched',
        `patterns in "tables.include" match no table of the source: ${list(include)}`,
        'Correct or remove them.',
      ),
    );
  }
  if (exclude.length > 0) {
    findings.push(
      warning(
        'exclude-unmatched',
        `patterns in "tables.exclude" match nothing on the source: ${list(exclude)}`,
        'Correct them if a table should be excluded.',
      ),
    );
  }
  if (ignore.length > 0) {
    findings.push(
      warning(
        'ignore-unmatched',
        `patterns in "ignore" match no selected table on the source: ${list(ignore)}`,
        'Correct or remove them.',
      ),
    );
  }
  const foreign = source.relations.filter(({ kind }) => kind === 'f').map(nameOf);
  if (foreign.length > 0) {
    findings.push(
      error(
        'foreign-table',
        `foreign tables store no rows and cannot be moved: ${list(foreign)}`,
        `Add them to "tables.exclude".`,
      ),
    );
  }
  return findings;
};
