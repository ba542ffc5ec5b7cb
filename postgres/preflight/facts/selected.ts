/** The selected tables of the source. */
import { readRelations } from '../../catalog/read-relations.ts';
import { shared, type SourceReading } from '../reading.ts';

export const relations = shared((of: SourceReading) => readRelations(of.client, of.input.tables));

export async function selectedOids(of: SourceReading): Promise<number[]> {
  return (await relations(of)).map(({ oid }) => oid);
}
