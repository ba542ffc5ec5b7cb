/**
 * Runs statements in parallel over a few sessions: each as soon as its dependencies are done, the heaviest first, and never
 * two that would wait for (or deadlock on) each other's table lock. Knows no SQL.
 */

export interface Task {
  readonly id: number;
  /** Tasks that must end first; ids that are not among the tasks count as done. */
  readonly depends: readonly number[];
  /** Tables that it locks. */
  readonly tables: readonly string[];
  /** Whether it needs its tables exclusively; the others share them. */
  readonly exclusive: boolean;
  /** In any unit; the heaviest ready task starts first. */
  readonly weight: number;
  readonly label: string;
}

/**
 * The next task that may start, or undefined when all remaining ones have to wait. Pure.
 * @param waiting heaviest first.
 * @param unfinished ids of the waiting and the running ones.
 */
export function nextTask<T extends Task>(
  waiting: Iterable<T>,
  running: ReadonlySet<T>,
  unfinished: ReadonlySet<number>,
): T | undefined {
  for (const task of waiting) {
    if (task.depends.some((id) => unfinished.has(id))) continue;
    if ([...running].some((other) => collide(task, other))) continue;
    return task;
  }
  return undefined;
}

function collide(a: Task, b: Task): boolean {
  if (!a.exclusive && !b.exclusive) return false;
  return a.tables.some((table) => b.tables.includes(table));
}

/**
 * Runs all tasks, at most one per session. After the first failure no more start; running ones finish (an index that took
 * an hour is not wasted by another's error), then the first failure is thrown.
 * @param onChange called with the labels of the running tasks and the number of finished ones.
 * @param goesOn which failures stop only the tasks that depend on the failed one.
 * @returns the failures that `goesOn` accepted.
 */
export async function runTasks<L, T extends Task>(
  tasks: readonly T[],
  sessions: readonly L[],
  run: (session: L, task: T) => Promise<void>,
  onChange: (running: readonly string[], done: number) => void = () => undefined,
  goesOn: (error: unknown) => boolean = () => false,
): Promise<readonly unknown[]> {
  const waiting = new Set([...tasks].sort((a, b) => b.weight - a.weight));
  const unfinished = new Set(tasks.map(({ id }) => id));
  const running = new Set<T>();
  const idle = [...sessions];
  let failure: { readonly error: unknown } | undefined;
  const passed: unknown[] = [];
  let done = 0;
  let wake: () => void = () => undefined;
  const report = () =>
    onChange(
      [...running].map(({ label }) => label),
      done,
    );

  const begin = (session: L, task: T) => {
    waiting.delete(task);
    running.add(task);
    run(session, task)
      .then(() => {
        unfinished.delete(task.id);
        done += 1;
      })
      .catch((error: unknown) => {
        if (goesOn(error)) passed.push(error);
        else failure ??= { error };
      })
      .finally(() => {
        running.delete(task);
        idle.push(session);
        wake();
      });
  };

  for (;;) {
    while (idle.length > 0 && failure === undefined) {
      const task = nextTask(waiting, running, unfinished);
      const session = task === undefined ? undefined : idle.pop();
      if (task === undefined || session === undefined) break;
      begin(session, task);
    }
    report();
    if (running.size === 0) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  if (failure !== undefined) throw failure.error;
  if (waiting.size > 0 && passed.length === 0) {
    throw new Error(
      `tasks wait for each other: ${[...waiting].map(({ label }) => label).join(', ')}`,
    );
  }
  return passed;
}
