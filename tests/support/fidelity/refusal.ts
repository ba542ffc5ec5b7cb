/** Cases that preflight must refuse: each has its own databases, and nothing is moved. */
import { inspect } from '../../../postgres/preflight/inspect.ts';
import { parseInput } from '../../../contract/input.ts';
import { freshPair } from '../database.ts';
import type { Places } from '../database.ts';
import { migrationOf } from '../control.ts';
import type { Outcome } from './outcome.ts';
import { countRows, readTables } from './rows.ts';
import { Stage } from './stage.ts';
import type { FidelityCase } from './case.ts';

/**
 * Checks the case as preflight does.
 * @param places servers other than the run's.
 */
export async function refuse(
  fidelityCase: FidelityCase,
  code: string,
  places: Places = {},
): Promise<Outcome> {
  await using pair = await freshPair(places, fidelityCase.encodings);
  await using source = new Stage(fidelityCase, pair.source);
  await using target = new Stage(fidelityCase, pair.target);
  const outcome = (result: Outcome['result'], ...details: string[]): Outcome => {
    return { name: fidelityCase.name, copied: null, streamed: null, result, details };
  };
  try {
    await source.begin();
    await source.run(fidelityCase.sections.schema);
    await countRows(pair.sourceClient, await readTables(pair.sourceClient, [fidelityCase.name]));
    if (fidelityCase.sections.target.length > 0) {
      await target.begin();
      await target.run(fidelityCase.sections.target);
    }
    const parsed = parseInput({ source: pair.source, target: pair.target, ...fidelityCase.input });
    if (!parsed.ok) return outcome('different', parsed.message);
    const findings = await inspect(migrationOf(pair), parsed.input);
    const errors = findings.filter(({ level }) => level === 'error');
    // Another error would also stop the migration and hide that this check is missing.
    const only = errors.length > 0 && errors.every((one) => one.code === code);
    const seen = findings.map((one) => `${one.level} ${one.code}: ${one.message}`).join('; ');
    return only
      ? outcome('refused', code)
      : outcome(
          'different',
          `preflight should refuse it with ${code} alone: ${seen || 'no finding'}`,
        );
  } catch (error) {
    return outcome('different', error instanceof Error ? error.message : String(error));
  }
}
