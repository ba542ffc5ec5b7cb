/** What a verification compares of one table of the target, as the control schema stores it. */
import * as v from 'valibot';

const name = v.object({ schema: v.string(), name: v.string() });
const names = v.pipe(v.array(v.pipe(name, v.readonly())), v.readonly());

export const tableShape = v.pipe(
  v.object({
    /** Tables of the source whose rows together are those of the target's table: one, or the partitions that go through it. */
    source: names,
    /** Tables of the target that hold them: one, or the partitions of the target's own tree. */
    target: names,
    /** Columns that both sides have and print alike, by name. */
    columns: v.pipe(v.array(v.string()), v.readonly()),
    /** Columns that tell rows apart; null: only the whole row does. */
    key: v.nullable(v.pipe(v.array(v.string()), v.readonly())),
    /** `column: reason`. */
    notCompared: v.pipe(v.array(v.string()), v.readonly()),
  }),
  v.readonly(),
);
export type TableShape = v.InferOutput<typeof tableShape>;
