/** Extensions and event triggers that the input ignores: reports objects that depend on them, refuses if moved objects do. */
import { list } from '../wording.ts';
import { defineCheck, raising, refuses, warns } from '../check.ts';
import { ignored } from '../facts/ignored-object.ts';
import { tables } from '../facts/target-tables.ts';

const { codes, error, warning } = raising({
  'ignore-object-unmatched': warns('"ignore" names something that the source does not have.'),
  'extension-needed': refuses('The input ignores an extension that moved objects need.'),
  'extension-ignored': warns(
    'The input ignores extensions; objects that depend on them are not moved.',
  ),
  'event-triggers-ignored': warns('The input ignores event triggers.'),
});

export const ignoredExtension = defineCheck({
  codes,
  source: { ignored },
  target: { tables },
  find: ({ source, target }) => {
    if (source === null) return [];
    const { extensions, eventTriggers, absent, needed, along } = source.ignored;
    // If the operator created the tables, extensions and event triggers of the target are theirs, too.
    const given = target !== null && target.tables.length > 0;
    const dependent =
      along.length > 0 ? `; nor are objects that depend on them: ${list(along)}` : '';
    return [
      absent.length > 0 &&
        warning(
          'ignore-object-unmatched',
          `"ignore" names extensions or event triggers that the source does not have: ${list(absent)}`,
          'Correct the names (as in the catalog, without quotes), or remove them.',
        ),
      ...(given
        ? []
        : [
            needed.length > 0
              ? error(
                  'extension-needed',
                  `the input ignores extensions (${list(extensions)}) that moved objects need: ${list(needed)}`,
                  'Remove the extension from "ignore": {"extensions"}, or exclude these tables, or change them on the source.',
                )
              : extensions.length > 0 &&
                warning(
                  'extension-ignored',
                  `extensions are not moved because "ignore" lists them: ${list(extensions)}${dependent}`,
                  'No action is needed if nothing uses them. The catalog does not show uses inside function bodies: those functions fail on the target when called.',
                ),
            eventTriggers.length > 0 &&
              warning(
                'event-triggers-ignored',
                `event triggers are not moved because "ignore" lists them: ${list(eventTriggers)}`,
                'If you need them, create them on the target after the cutover; their functions are moved.',
              ),
          ]),
    ];
  },
});
