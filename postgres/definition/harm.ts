/**
 * Whether a difference makes the target wrong: an application would get an error, another result or another right there. The others
 * are about speed, storage and words, or are something that the target has in addition. Pure.
 */
import type { Fact } from './fact.ts';

/** On which side the fact is. */
export type Sided = 'source only' | 'target only' | 'both';

/** Properties that the application does not see. A newer version of an extension is no difference at all (difference.ts). */
const UNSEEN_PROPERTIES: ReadonlySet<string> = new Set([
  ...['comment', 'CLUSTER ON', 'version'],
  // Filled by the cutover, also when the source filled it later.
  'contents',
]);

/** Parts of a table that are about speed or storage, by the beginning of their name. */
const UNSEEN_PARTS =
  /^(?:statistics |storage of |compression of |statistics target of |option |storage parameter (?!security_|check_option|user_catalog_table))/;

/** Parts that refuse, change or hide rows, also where only the target has them. */
const ACTING_PARTS =
  /^(?:constraint |trigger |rule |policy |(?:forced )?row security$|NOT NULL of |default of |generated expression of |identity of )/;

/** The same among the properties of objects beside tables: of domains. */
const ACTING_PROPERTIES = /^(?:constraint |NOT NULL$|default$)/;

const UNIQUE = /^create unique index /i;

/**
 * @param other the target's, where both sides have it.
 * @param back before a switch back nothing else says that an index is not valid.
 */
export function isWrong(fact: Fact, sided: Sided, other?: Fact, back = false): boolean {
  const { what, relation, object } = fact;
  const part = relation === null ? '' : object.slice(relation.length + 2);
  if (UNSEEN_PROPERTIES.has(what) || what.startsWith('statistics target')) return false;
  if (UNSEEN_PARTS.test(part)) return false;
  if (part.startsWith('index '))
    return isWrongIndex(fact, other) || (back && what === 'state' && other?.text !== 'valid');
  if (what === 'state' || what.startsWith('state of ')) {
    // More than the source has checked.
    return other?.text !== 'valid';
  }
  if (sided !== 'target only') return true;
  if (what !== '') return relation === null && ACTING_PROPERTIES.test(what);
  return ACTING_PARTS.test(part) || object.startsWith('event trigger ');
}

/** Without another index queries are slow, with one more writes are. One that is not valid is a finding of its own. */
function isWrongIndex({ what, text }: Fact, other: Fact | undefined): boolean {
  if (what !== '') return what === 'attachment';
  return UNIQUE.test(text) || UNIQUE.test(other?.text ?? '');
}
