/** `psql | psql`: rows of one table through n pipes at a time, each a range of pages. The minimum work of any copy. */
import { STREAMS } from '../rig/settings.ts';
import type { Rig } from '../rig/rig.ts';

/** @param binary also from and to binary; the table has the same columns on both sides. @returns seconds. */
export async function pipe(
  rig: Rig,
  options: { source: string; target: string; table: string; binary: boolean },
): Promise<number> {
  const { source, target, table, binary } = options;
  const blocks = Number(
    await rig.source.value(
      source,
      `select pg_relation_size('${table}') / current_setting('block_size')::int`,
    ),
  );
  const format = binary ? ' (format binary)' : '';
  const began = performance.now();
  await Promise.all(
    Array.from({ length: STREAMS }, (_, stream) => {
      const from = Math.floor((blocks * stream) / STREAMS);
      const to = Math.floor((blocks * (stream + 1)) / STREAMS);
      const rows = `select * from ${table} where ctid >= '(${from},0)'::tid and ctid < '(${to},0)'::tid`;
      return rig.source.shell(
        `psql -Xq -v ON_ERROR_STOP=1 -c "copy (${rows}) to stdout${format}" | ` +
          `psql -Xq -v ON_ERROR_STOP=1 "${rig.target.conninfo(target)}" -c "copy ${table} from stdin${format}"`,
        rig.source.environment(source),
      );
    }),
  );
  return (performance.now() - began) / 1000;
}
