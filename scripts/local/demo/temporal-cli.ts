/** The Temporal CLI, as a person uses it: the demo prints each command before it runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** A command line that can be pasted into a shell. */
export function commandLine(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w./:@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/**
 * Runs `temporal …` and returns what it printed.
 * @throws Error with its output when it fails.
 */
export async function temporal(words: readonly string[]): Promise<string> {
  // A process group of its own: Ctrl-C is handled here, and a half-printed answer is useless.
  const child = spawn('temporal', words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (out += text));
  }
  await once(child, 'close');
  if (child.exitCode !== 0) throw new Error(`temporal ${words.join(' ')} failed:\n${out.trim()}`);
  return out.trim();
}
