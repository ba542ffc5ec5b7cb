/** Updates as an operator sends them: the command is printed, then its answer in lines of a readable width. */
import { commandLine, temporal } from './temporal-cli.ts';

const WIDTH = 90;

/** @returns the answer, one or more sentences. @throws Error with the refusal. */
export async function update(
  workflowId: string,
  name: string,
  say: (line: string) => void,
): Promise<string> {
  const words = ['workflow', 'update', 'execute', '-w', workflowId, '--name', name];
  say(`$ temporal ${commandLine(words)}`);
  const printed = await temporal(words);
  const answer = /^\s*Result\s+(.+)$/m.exec(printed)?.[1] ?? printed;
  for (const line of wrapped(answer)) say(`    ${line}`);
  return answer;
}

/** At spaces. A longer word has its own line. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${word}`.length <= WIDTH)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
