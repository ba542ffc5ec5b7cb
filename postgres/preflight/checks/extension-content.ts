/** Tables of extensions are not copied, and members that users added are not created: either may lose rows. */
import { rolledBack } from '../../connection/in-transaction.ts';
import type { ExtensionFacts } from '../../catalog/extension.ts';
import { identifier, list, statements } from '../wording.ts';
import { defineCheck, raising, refusesOrWarns, type Values, type Found } from '../check.ts';
import { readExtensionMembers, type ExtensionMember } from '../../catalog/extension-member.ts';
import { ignored } from '../facts/ignored-object.ts';
import { extensions, kept, offer, type Offer } from '../facts/offered-extension.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import type { SourceReading } from '../reading.ts';

const { codes, error, warning } = raising({
  'extension-members': refusesOrWarns(
    'Objects were added to an extension that does not create them; a warning if the input ignores them, or if none is a table or sequence.',
  ),
  'extension-rows': refusesOrWarns(
    'Tables of extensions hold user data, which is not moved; a warning if the input ignores it.',
  ),
});

const source = { extensions, ignored, members: readMembers };
type Source = Values<typeof source>;

export const extensionContent = defineCheck({
  codes,
  source,
  target: { offer, tables },
  find: ({ source: facts, target, input }) => {
    if (facts === null) return [];
    const accepted = input.ignore.extensionRows;
    // If the operator created the tables, the extensions are theirs, too.
    const created = target !== null && createsTables(target) ? target.offer : null;
    return [
      rows(kept(facts), created === null ? [] : otherContent(facts, created), accepted),
      created !== null && addedMembers(facts, created, accepted),
    ];
  },
});

/** Members on the source with their counterpart on the target; only of extensions that the target has or can create. */
function pairsOf(source: Source, target: Offer) {
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
function otherContent(source: Source, target: Offer): string[] {
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
function addedMembers(source: Source, target: Offer, accepted: boolean): Found {
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
    return warning(
      'extension-members',
      `the target's extensions do not create these members, so they are not moved: ${shown(lost)}`,
      `To move them like other objects, run on the source: ${dropping(lost)}`,
    );
  }
  return error(
    'extension-members',
    `tables or sequences were added to an extension that does not create them, so they and their rows would be missing on the target: ${shown(lost)}`,
    `To move them, run on the source: ${dropping(lost)} Add them to the extension again on the target after the cutover. Or accept losing them: "ignore": {"extensionRows": true} in the input.`,
  );
}

function rows(
  extensions: readonly ExtensionFacts[],
  more: readonly string[],
  accepted: boolean,
): Found {
  const config = extensions.flatMap(({ name, tablesWithRows }) =>
    tablesWithRows.map((table) => `${table} (${name})`),
  );
  const tables = [...config, ...more];
  if (tables.length === 0) return [];
  const message = `tables of extensions hold rows that users inserted (or that the role may not read), and these are not moved: ${list(tables)}`;
  const how = 'copy them manually before the cutover';
  return accepted
    ? warning('extension-rows', message, `The input ignores them: ${how}.`)
    : error(
        'extension-rows',
        message,
        `Set "ignore": {"extensionRows": true} in the input and ${how}.`,
      );
}

async function readMembers(of: SourceReading): Promise<ExtensionMember[]> {
  const names = (await extensions(of)).map(({ name }) => name);
  return rolledBack(of.client, () => readExtensionMembers(of.client, names), 'begin read only');
}
