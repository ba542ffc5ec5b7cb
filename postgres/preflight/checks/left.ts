/** Extensions and event triggers that the input leaves out: what goes with them is told, what may not go is refused. */
import type { Finding } from '../../../contract/finding.ts';
import type { Check } from '../facts.ts';
import { error, list, warning } from '../wording.ts';

export const left: Check = ({ source, target }) => {
  if (source === null) return [];
  const { extensions, eventTriggers, absent, needed, along } = source.left;
  const findings: Finding[] = [];
  if (absent.length > 0) {
    findings.push(
      warning(
        'ignore-object-unmatched',
        `"ignore" names extensions or event triggers that the source does not have: ${list(absent)}`,
        'Correct the names (as the catalog holds them, without quotes), or take them out.',
      ),
    );
  }
  // With the tables there, extensions and event triggers of the target are the operator's own.
  if (target !== null && target.tables.length > 0) return findings;
  if (needed.length > 0) {
    findings.push(
      error(
        'extension-needed',
        `extensions that the input leaves out (${list(extensions)}) are needed by what is moved: ${list(needed)}`,
        'Take the extension out of "ignore": {"extensions"}, or exclude these tables, or change them on the source.',
      ),
    );
  } else if (extensions.length > 0) {
    const gone = along.length > 0 ? `, and what stands on them: ${list(along)}` : '';
    findings.push(
      warning(
        'extension-left',
        `extensions are left out, as the input says: ${list(extensions)}${gone}`,
        'Nothing to do where nobody needs them. Bodies of functions are text to the server: look there for other uses, which fail on the target when they are called.',
      ),
    );
  }
  if (eventTriggers.length > 0) {
    findings.push(
      warning(
        'event-triggers-left',
        `event triggers are left out, as the input says: ${list(eventTriggers)}`,
        'Create them on the target after the cutover where they are wanted; their functions are moved.',
      ),
    );
  }
  return findings;
};
