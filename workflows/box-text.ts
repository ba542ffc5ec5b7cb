/** A cutover that has stopped the writes, in words: since when, until when, and where the time went. Pure. */
import type { CutoverBox, Progress } from '../contract/progress.ts';
import { writesAt } from './state/box-deadline.ts';
import { moment } from './wording.ts';

type Shown = Pick<Progress, 'phase' | 'source' | 'target' | 'cutover'>;

const what = ({ phase }: Shown): string => (phase === 'reverse' ? 'switch back' : 'cutover');

/** The heading. */
export function boxTitle(progress: Shown, box: CutoverBox): string {
  const name = progress.phase === 'reverse' ? 'Switch back' : 'Cutover';
  const writes = {
    stopped: 'writes are stopped',
    returned: 'writes are back, waiting to undo it',
    unknown: 'writes may be stopped',
  }[writesAt(box, progress.cutover)];
  return `${name}: ${writes}`;
}

export function boxLines(progress: Shown, box: CutoverBox): string[] {
  const steps = box.spent.map(({ step, seconds }) => `${step} ${seconds.toFixed(1)} s`);
  return [
    ...writesLines(progress, box),
    ...(steps.length > 0 ? [`- steps so far: ${steps.join(', ')}`] : []),
  ];
}

function writesLines(progress: Shown, box: CutoverBox): string[] {
  const { source, target, cutover } = progress;
  const [from, to] = progress.phase === 'reverse' ? [target, source] : [source, target];
  const since = moment(box.since);
  if (box.deadline === null) return [`- **writes are stopped** since ${since}`];
  const deadline = moment(box.deadline);
  switch (writesAt(box, cutover)) {
    case 'stopped':
      return [
        `- **writes are stopped** since ${since}; they come back by themselves at ${deadline}`,
      ];
    case 'returned':
      return [
        `- **writes came back by themselves** at ${deadline} by the clock of "${from}"; they were stopped since ${since}`,
        `- what is left is to undo the ${what(progress)}, which needs "${to}"`,
      ];
    case 'unknown':
      return [
        `- **writes may be stopped** since ${since}: they came back by themselves at ${deadline} unless "${from}" was sealed before`,
      ];
  }
}
