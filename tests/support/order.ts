/**
 * The order of the test files. The longest first, so that none is left alone at the end; and between two of those that mostly wait
 * (deadlines, heartbeats, starts of servers) some that compute, so that both cores are busy and neither is fought for.
 */
import { statSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Projects whose files take longest, in that order. */
const LONG: readonly string[] = ['setup', 'fidelity', 'prove', 'e2e', 'workflow'];
/** Projects whose files compute; the last ones are the shortest. */
const SHORT: readonly string[] = ['pg', 'replay', 'unit'];
/** A long file takes about as long as so many short ones; fewer, so that the long ones are over before the end. */
const BETWEEN = 2;

export default class Order extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const long = files.filter(({ project }) => LONG.includes(project.name)).sort(by(LONG));
    const short = files.filter(({ project }) => !LONG.includes(project.name)).sort(by(SHORT));
    const mixed = long.flatMap((file, at) => [
      file,
      ...short.slice(at * BETWEEN, (at + 1) * BETWEEN),
    ]);
    return Promise.resolve([...mixed, ...short.slice(long.length * BETWEEN)]);
  }
}

/** By project, then by size, which is known without an earlier run. */
function by(projects: readonly string[]) {
  return (a: TestSpecification, b: TestSpecification): number =>
    projects.indexOf(a.project.name) - projects.indexOf(b.project.name) || sizeOf(b) - sizeOf(a);
}

const sizeOf = ({ moduleId }: TestSpecification): number => statSync(moduleId).size;
