/** Which chunks are done, and by which worker: evidence that work was not repeated. */
import type pg from 'pg';
import { hasStore } from './upgrade.ts';

export interface ChunkMark {
  readonly id: number;
  readonly pass: number;
  /** Null while it is not done. */
  readonly doneAt: string | null;
  readonly worker: string | null;
}

/** All chunks of the plan, of any migration; empty before there is one. */
export async function readChunkMarks(target: pg.ClientBase): Promise<ChunkMark[]> {
  if (!(await hasStore(target))) return [];
  const { rows } = await target.query<ChunkMark>(/* sql */ `
    select id, pass, done_at::text as "doneAt", worker from walferry.chunk order by id`);
  return rows;
}
