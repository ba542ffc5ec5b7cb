/** Which builds may run at the same time, and which foreign keys can be added unchecked. */
import { describe, expect, test } from 'vitest';
import { deferred } from '../../postgres/schema/foreign-key.ts';
import { nextTask, runTasks, type Task } from '../../postgres/schema/run-tasks.ts';

const task = (id: number, more: Partial<Task> = {}): Task => ({
  id,
  depends: [],
  tables: [],
  exclusive: false,
  weight: 0,
  label: `task ${id}`,
  ...more,
});

describe('tasks', () => {
  test('shared builds of one table run together, an exclusive one waits for them', () => {
    const shared = task(1, { tables: ['a'] });
    const running = new Set([shared]);
    const exclusive = task(2, { tables: ['a'], exclusive: true });
    expect(nextTask([exclusive], running, new Set([1, 2]))).toBeUndefined();
    expect(nextTask([task(3, { tables: ['a'] })], running, new Set([1, 3]))?.id).toBe(3);
    expect(
      nextTask([task(4, { tables: ['b'], exclusive: true })], running, new Set([1, 4]))?.id,
    ).toBe(4);
  });

  test('everything runs once, after what it depends on, the heaviest first, never more than the given sessions', async () => {
    const tasks = [
      task(1, { weight: 1 }),
      task(2, { weight: 9 }),
      task(3, { depends: [1, 2, 99], weight: 100 }),
      task(4, { depends: [3] }),
    ];
    const order: number[] = [];
    let busy = 0;
    await runTasks(tasks, ['a', 'b'], async (_, { id }) => {
      busy += 1;
      expect(busy).toBeLessThanOrEqual(2);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(id);
      busy -= 1;
    });
    expect(order).toEqual([2, 1, 3, 4]);
  });

  test('after a failure nothing new starts, running tasks finish, and the first failure is thrown', async () => {
    const ended: number[] = [];
    const first = new Error('first');
    const run = runTasks(
      [task(1, { weight: 2 }), task(2, { weight: 1 }), task(3)],
      ['a', 'b'],
      async (_, { id }) => {
        await new Promise((resolve) => setTimeout(resolve, id * 5));
        if (id === 1) throw first;
        ended.push(id);
      },
    );
    await expect(run).rejects.toBe(first);
    expect(ended).toEqual([2]);
  });

  test('tasks that wait for each other are an error, not a deadlock', async () => {
    const circle = [task(1, { depends: [2] }), task(2, { depends: [1] })];
    await expect(runTasks(circle, ['a'], () => Promise.resolve())).rejects.toThrow(
      /wait for each other/,
    );
  });
});

describe('foreign keys', () => {
  const add = (table: string, end = '') =>
    `ALTER TABLE ${table}\n    ADD CONSTRAINT "f; k" FOREIGN KEY (a) REFERENCES public.b(id)${end};`;

  test('an ordinary one is added unchecked', () => {
    expect(deferred(add('ONLY public.a'))).toBe(add('ONLY public.a', ' NOT VALID'));
    expect(deferred(add('ONLY public.a', ' ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED'))).toBe(
      add('ONLY public.a', ' ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID'),
    );
  });

  test('not on partitioned tables, and not when the source never checked it either', () => {
    expect(deferred(add('public.a'))).toBeNull();
    expect(deferred(add('ONLY public.a', ' NOT VALID'))).toBeNull();
    expect(deferred(add('ONLY public.a', ' NOT ENFORCED'))).toBeNull();
    expect(deferred(`${add('ONLY public.a')}\n-- and more`)).toBeNull();
  });
});
