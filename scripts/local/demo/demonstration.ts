/** `walferry demo` from set-up to clean-up, whatever happens in between. */
import { leaveRunning } from './keep.ts';
import { runDemo } from './run.ts';
import type { DemoSettings } from './run.ts';
import { clearTheStage, setTheStage } from './stage.ts';
import type { Stage } from './stage.ts';

/** @returns the exit code; ends every process that it started, unless they are to be kept. */
export async function demo({
  keep,
  ...settings
}: DemoSettings & { readonly keep: boolean }): Promise<number> {
  const interrupted = interruption();
  let stage: Stage | undefined;
  let left = false;
  try {
    stage = await setTheStage(say);
    const { passed } = await runDemo(stage, settings, interrupted, say);
    if (keep) {
      leaveRunning(stage, settings.rate, say);
      left = true;
    }
    return passed ? 0 : 1;
  } catch (error) {
    if (interrupted.aborted) return 130;
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
    if (stage) console.error(`logs: ${stage.cluster.places.data}/logs`);
    return 2;
  } finally {
    if (stage && !left) {
      say('ending all processes …');
      await clearTheStage(stage);
    }
  }
}

/** The first signal requests a clean end. A second one must not interrupt that: it would leave servers behind. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) say('\ninterrupted: cleaning up …');
      controller.abort(new Error('interrupted'));
    });
  }
  return controller.signal;
}

function say(line: string): void {
  console.log(line);
}
