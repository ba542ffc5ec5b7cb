/** Every check of preflight, in the order of the findings. A new check is one function and one line here. */
import { age } from './checks/age.ts';
import { binaryForm } from './checks/binary-form.ts';
import { capacity } from './checks/capacity.ts';
import { charByte } from './checks/char-byte.ts';
import { collation } from './checks/collation.ts';
import { disk } from './checks/disk.ts';
import { durability } from './checks/durability.ts';
import { enforcement } from './checks/enforcement.ts';
import { endpoint } from './checks/endpoint.ts';
import { extension } from './checks/extension.ts';
import { nullableChild } from './checks/nullable-child.ts';
import { generated } from './checks/generated.ts';
import { guard } from './checks/guard.ts';
import { identity } from './checks/identity.ts';
import { leftover } from './checks/leftover.ts';
import { left } from './checks/left.ts';
import { locale } from './checks/locale.ts';
import { number } from './checks/number.ts';
import { object } from './checks/object.ts';
import { objectName } from './checks/object-name.ts';
import { partitionKey } from './checks/partition-key.ts';
import { partitionRoot } from './checks/partition-root.ts';
import { persistence } from './checks/persistence.ts';
import { plugin } from './checks/plugin.ts';
import { oldSnapshot } from './checks/old-snapshot.ts';
import { program } from './checks/program.ts';
import { reach } from './checks/reach.ts';
import { recognition } from './checks/recognition.ts';
import { rehearsal } from './checks/rehearsal.ts';
import { role } from './checks/role.ts';
import { rowSecurity } from './checks/row-security.ts';
import { schemaRight } from './checks/schema-right.ts';
import { selection } from './checks/selection.ts';
import { session } from './checks/session.ts';
import { sessionCount } from './checks/session-count.ts';
import { sessionDefault } from './checks/session-default.ts';
import { sourceRight } from './checks/source-right.ts';
import { table } from './checks/table.ts';
import { targetRight } from './checks/target-right.ts';
import { transaction } from './checks/transaction.ts';
import { version } from './checks/version.ts';
import { wal } from './checks/wal.ts';
import type { Check } from './facts.ts';

export const CHECKS: readonly Check[] = [
  reach,
  endpoint,
  version,
  leftover,
  wal,
  oldSnapshot,
  plugin,
  transaction,
  guard,
  capacity,
  session,
  sessionCount,
  recognition,
  durability,
  sourceRight,
  targetRight,
  rowSecurity,
  locale,
  sessionDefault,
  selection,
  table,
  partitionRoot,
  collation,
  partitionKey,
  extension,
  left,
  object,
  objectName,
  persistence,
  identity,
  number,
  charByte,
  generated,
  enforcement,
  nullableChild,
  binaryForm,
  program,
  role,
  schemaRight,
  rehearsal,
  age,
  disk,
];
