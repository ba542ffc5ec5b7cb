/** The input of a migration, from a file. Messages say where the file is wrong, and never quote it: it may hold a password. */
import { readFile } from 'node:fs/promises';
import { parse, type ParseError } from 'jsonc-parser';
import { parseInput } from '../../contract/input.ts';
import { type MigrationInput } from '../../contract/input-schema.ts';
import { windowInUtc, type WindowInput } from '../../contract/window.ts';
import { UnclearTime } from '../../contract/zoned-time.ts';
import { OperatorError } from '../operator-error.ts';

/** @throws OperatorError naming the file, and the line and column of what is not JSON. */
export async function readInput(file: string): Promise<MigrationInput> {
  const parsed = parseInput(jsonOf(file, await textOf(file)));
  if (!parsed.ok) throw new OperatorError(`${file}: ${parsed.message}`);
  if (parsed.input.window) requireClear(file, parsed.input.window);
  return parsed.input;
}

/** The workflow's first step refuses such a window, too. */
function requireClear(file: string, window: WindowInput): void {
  try {
    windowInUtc(window);
  } catch (error) {
    if (error instanceof UnclearTime) throw new OperatorError(`${file}: ${error.message}`);
    throw error;
  }
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    throw new OperatorError(`${file} cannot be read${code}`);
  }
}

function jsonOf(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new OperatorError(`${file} is not JSON${placeOfMistake(text)}`);
  }
}

/** Not from the error of JSON.parse: whether it names a position depends on the mistake and on the version of Node. */
function placeOfMistake(text: string): string {
  const errors: ParseError[] = [];
  parse(text, errors, { disallowComments: true });
  const [first] = errors;
  if (!first) return '';
  const before = text.slice(0, first.offset).split('\n');
  return `: line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
}
