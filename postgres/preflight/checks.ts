/** Every check of preflight, in the order of the findings, and what is derived from the list. */
import { inOrder, type Finding } from '../../contract/finding.ts';
import type { Check, Code, Facts, Found, Readers } from './check.ts';
import { age } from './checks/age.ts';
import { binaryForm } from './checks/binary-form.ts';
import { charByte } from './checks/char-byte.ts';
import { program } from './checks/client-program.ts';
import { columnCollation } from './checks/column-collation.ts';
import { connection } from './checks/connection.ts';
import { createdObject } from './checks/created-object.ts';
import { disk } from './checks/disk.ts';
import { durability } from './checks/durability.ts';
import { encoding } from './checks/encoding.ts';
import { existingSchema } from './checks/existing-schema.ts';
import { existingTable } from './checks/existing-table.ts';
import { extensionContent } from './checks/extension-content.ts';
import { extensionOffer } from './checks/extension-offer.ts';
import { fenceRight } from './checks/fence-right.ts';
import { freeSlot } from './checks/free-slot.ts';
import { generatedColumn } from './checks/generated-column.ts';
import { guardInput } from './checks/guard-input.ts';
import { ignoredExtension } from './checks/ignored-extension.ts';
import { inheritedNull } from './checks/inherited-null.ts';
import { leftover } from './checks/leftover.ts';
import { login } from './checks/login.ts';
import { number } from './checks/non-finite-number.ts';
import { objectName } from './checks/object-name.ts';
import { oldSnapshot } from './checks/old-snapshot.ts';
import { openTransaction } from './checks/open-transaction.ts';
import { outputPlugin } from './checks/output-plugin.ts';
import { ownerRole } from './checks/owner-role.ts';
import { partitionChoice } from './checks/partition-choice.ts';
import { partitionRoot } from './checks/partition-root.ts';
import { pattern } from './checks/pattern.ts';
import { recognition } from './checks/recognition.ts';
import { replicaIdentity } from './checks/replica-identity.ts';
import { rowSecurity } from './checks/row-security.ts';
import { sessionCount } from './checks/session-count.ts';
import { sessionDefault } from './checks/session-default.ts';
import { sourceRight } from './checks/source-right.ts';
import { targetObject } from './checks/target-object.ts';
import { targetRight } from './checks/target-right.ts';
import { triedSchema } from './checks/tried-schema.ts';
import { unenforcedConstraint } from './checks/unenforced-constraint.ts';
import { unloggedTable } from './checks/unlogged-table.ts';
import { unmovedObject } from './checks/unmoved-object.ts';
import { version } from './checks/version.ts';
import { wal } from './checks/wal.ts';
import { wayBackDecoding } from './checks/way-back-decoding.ts';
import { wayBackWriting } from './checks/way-back-writing.ts';
import type { Reading, SourceReading, TargetReading } from './reading.ts';

const LIST = [
  connection,
  version,
  leftover,
  wal,
  oldSnapshot,
  outputPlugin,
  openTransaction,
  guardInput,
  freeSlot,
  login,
  sessionCount,
  recognition,
  durability,
  sourceRight,
  targetRight,
  fenceRight,
  rowSecurity,
  encoding,
  sessionDefault,
  pattern,
  existingTable,
  partitionRoot,
  columnCollation,
  partitionChoice,
  extensionOffer,
  extensionContent,
  ignoredExtension,
  unmovedObject,
  createdObject,
  targetObject,
  objectName,
  unloggedTable,
  replicaIdentity,
  number,
  charByte,
  generatedColumn,
  unenforcedConstraint,
  inheritedNull,
  binaryForm,
  program,
  ownerRole,
  existingSchema,
  triedSchema,
  wayBackDecoding,
  wayBackWriting,
  age,
  disk,
] as const;

type Intersection<U> = (U extends unknown ? (one: U) => void : never) extends (all: infer I) => void
  ? I
  : never;
type FactsOf<C, Which extends 'source' | 'target'> =
  C extends Check<infer S, infer T> ? { source: S; target: T }[Which] : never;

/** Everything that the checks read from a side, by name. */
export type SourceFacts = Intersection<FactsOf<(typeof LIST)[number], 'source'>>;
export type TargetFacts = Intersection<FactsOf<(typeof LIST)[number], 'target'>>;
export type AllFacts = Facts<SourceFacts, TargetFacts>;

export const CHECKS: readonly Check<SourceFacts, TargetFacts>[] = LIST;

export function readSource(of: SourceReading): Promise<SourceFacts> {
  return read(of, ({ both, source }) => ({ ...both, ...source }));
}

export function readTarget(of: TargetReading): Promise<TargetFacts> {
  return read(of, ({ both, target }) => ({ ...both, ...target }));
}

/** One after another, as a session does, in the order of the checks. The readers decide the types, see SourceFacts. */
async function read<Of extends Reading, All>(
  of: Of,
  readersOf: (check: (typeof CHECKS)[number]) => Readers<Of>,
): Promise<All> {
  const facts: Record<string, unknown> = { ...of.server };
  for (const check of CHECKS) {
    for (const [name, reader] of Object.entries(readersOf(check))) {
      if (!(name in facts)) facts[name] = await reader(of);
    }
  }
  return facts as All;
}

/** Runs all checks over the facts. Pure. */
export function check(facts: AllFacts): Finding[] {
  const findings: Finding[] = [];
  for (const { find } of CHECKS) {
    const errors = findings.filter(({ level }) => level === 'error');
    findings.push(...flat(find(facts, new Set(errors.map(({ code }) => code)))));
  }
  return inOrder(findings);
}

function flat(found: Found): Finding[] {
  if (!found) return [];
  return 'code' in found ? [found] : found.flatMap(flat);
}

/** The documentation of every code, in the order of the checks. */
export function catalogue(): (Code & { readonly code: string })[] {
  const codes = Object.assign({}, ...CHECKS.map((one) => one.codes)) as Check['codes'];
  return Object.entries(codes).map(([code, entry]) => ({ code, ...entry }));
}
