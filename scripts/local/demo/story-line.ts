/** Progress as one short line that can be read aloud. The full picture is on the screen of `walferry watch`. Pure. */
import { builtText } from '../../../workflows/built.ts';
import { bytes, count, counted } from '../../../workflows/wording.ts';
import type { View } from '../../watch/model.ts';

export function storyLine(view: View): string {
  return `    ${textOf(view)}`;
}

function textOf(view: View): string {
  const { phase, copy, stream, indexes, step, verification = [] } = view;
  if (phase === undefined) return 'waiting for the first answer';
  if (phase === 'snapshot' && copy) {
    return `copying: ${Math.floor(copy.fraction * 100)} %, ${counted(copy.rows, 'row')}, ${count(copy.rowsPerSecond)} rows/s`;
  }
  const built = indexes ? builtText(indexes) : '';
  if (phase === 'indexes' && built !== '') return built;
  if ((phase === 'stream' || phase === 'reverse') && stream) {
    // While rows are compared, that is what one waits for.
    const [verifying] = verification.filter((line) => line.startsWith('verification since'));
    const compared = verifying?.replace(/^.*?UTC: /, 'comparing: ');
    if (compared !== undefined) return compared;
    const way = phase === 'stream' ? 'streaming' : 'streaming back';
    return `${way}: ${counted(stream.transactions, 'transaction')}, lag ${bytes(stream.lagBytes)}`;
  }
  return step === undefined ? phase : `${phase}: ${step}`;
}
