/** The programs of the worker that copy the schema. */
import { clientProgram } from '../../connection/program.ts';

export interface ProgramFacts {
  readonly name: string;
  /** Null if the worker lacks it. */
  readonly major: number | null;
}

export async function readPrograms(): Promise<ProgramFacts[]> {
  const names = ['pg_dump', 'pg_restore'] as const;
  return Promise.all(
    names.map(async (name) => {
      try {
        return { name, major: (await clientProgram(name)).major };
      } catch {
        return { name, major: null };
      }
    }),
  );
}
