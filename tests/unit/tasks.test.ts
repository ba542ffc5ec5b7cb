import { describe, expect, it } from 'vitest';
import { runTasks, type Task } from '../../postgres/schema/run-tasks.ts';

const task = (id: number, depends: number[] = []): Task => ({
  ...{ id, depends, tables: [], exclusive: false, weight: -id, label: `task ${id}` },
});
const SESSIONS = ['one', 'two'];
const broken = new Error('broken by rows');

/** Runs the tasks; those in `failing` fail. */
async function play(tasks: Task[], failing: ReadonlyMap<number, Error>, goesOn = false) {
  const ran: number[] = [];
  const run = (_session: string, { id }: Task) => {
    ran.push(id);
    const error = failing.get(id);
    return error ? Promise.reject(error) : Promise.resolve();
  };
  const outcome = await runTasks(
    tasks,
    SESSIONS,
    run,
    () => undefined,
    (error) => goesOn && error === broken,
  ).catch((error: unknown) => error);
  return { ran, outcome };
}

describe('tasks of the schema', () => {
  it('continue after a tolerated failure, except those that depend on the failed one', async () => {
    const tasks = [task(1), task(2, [1]), task(3), task(4, [3]), task(5), task(6, [2])];
    const { ran, outcome } = await play(
      tasks,
      new Map([
        [1, broken],
        [5, broken],
      ]),
      true,
    );
    expect(ran.sort()).toEqual([1, 3, 4, 5]);
    expect(outcome).toEqual([broken, broken]);
  });

  it('do not start after any other failure', async () => {
    const other = new Error('lost connection');
    const tasks = [task(1), task(2, [1]), task(3, [1]), task(4, [3])];
    const { ran, outcome } = await play(tasks, new Map([[1, other]]), true);
    expect(ran).toEqual([1]);
    expect(outcome).toBe(other);
  });

  it('that wait for each other are an error instead of an end', async () => {
    const { outcome } = await play([task(1, [2]), task(2, [1])], new Map());
    expect(String(outcome)).toContain('tasks wait for each other: task 1, task 2');
  });
});
