/** Which changes a table's copy already includes: they are skipped, by `changesOf` (drift/mapped-change.ts) and by gathering.ts. */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { isVisible, type ExportedSnapshot } from '../catalog/visibility.ts';

/**
 * Whether the exported snapshot includes a transaction (32-bit id). By LSN first: ids wrap around, and a new one could look old.
 */
export function copiedBy(
  pass: Pick<ExportedSnapshot, 'xmin' | 'xmax' | 'xip' | 'lsn'> | undefined,
): (xid: number, commitLsn: Lsn) => boolean {
  return (xid, commitLsn) =>
    pass !== undefined && compareLsn(commitLsn, pass.lsn) < 0 && isVisible(xid, pass);
}
