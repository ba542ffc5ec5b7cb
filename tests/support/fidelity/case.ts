/** One file of the fidelity suite, parsed; tests/fidelity/README.md describes the format. */
import path from 'node:path';
import { splitStatements } from './statement.ts';

/** A requirement of a case that not every machine meets. */
export type Need =
  | { readonly kind: 'extension'; readonly name: string }
  | { readonly kind: 'wal2json'; readonly atLeast: '2.6' }
  | { readonly kind: 'source' | 'target'; readonly major: number };

export type Step =
  | {
      readonly kind: 'sql';
      readonly session: string;
      readonly sql: string;
      readonly line: number;
      /** SQLSTATE that the statement must fail with; null: it must succeed. */
      readonly fails: string | null;
      /** The shared file that the statement is in, if not the case's own. */
      readonly from?: string;
    }
  /** Continues when everything committed so far is on the target. */
  | { readonly kind: 'applied'; readonly line: number };

export const SECTIONS = [
  'schema',
  'target',
  'starting',
  'copying',
  'streaming',
  'compare',
] as const;
export type Section = (typeof SECTIONS)[number];

export interface FidelityCase {
  /** The file's name without `.sql`; also the name of its schema. */
  readonly name: string;
  readonly file: string;
  readonly title: string;
  readonly needs: readonly Need[];
  /** Code of the finding with which preflight must refuse it; null: everything must arrive. */
  readonly refused: string | null;
  readonly encodings: { readonly source: string; readonly target: string };
  /** Merged into the migration's input. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly sections: Readonly<Record<Section, readonly Step[]>>;
}

/**
 * A comment line of this form is a marker; an unknown word is an error, so that a misspelt marker is noticed.
 */
const MARKER = /^--\s*([a-z]+):\s*(.*?)\s*$/;

/**
 * Parses a file of the fidelity suite.
 * @param shared text of a file that several cases use, by its name; undefined when there is none.
 * @throws Error `FILE:LINE: what is wrong`.
 */
export function parseCase(
  file: string,
  text: string,
  shared: (name: string) => string | undefined = () => undefined,
): FidelityCase {
  const name = path.basename(file, '.sql');
  const wrong = (line: number, reason: string) => new Error(`${file}:${line}: ${reason}`);
  if (!/^[a-z][a-z0-9_]*$/.test(name) || name.includes('__')) {
    throw wrong(1, 'the file name must be a plain lower-case SQL name without "__"');
  }
  const head = new Head();
  const sections: Record<Section, Step[]> = {
    ...{ schema: [], target: [], starting: [], copying: [], streaming: [], compare: [] },
  };
  let section: Section | null = null;
  let session = 'main';
  let fails: { readonly state: string; readonly line: number } | null = null;
  let block: { readonly line: number; readonly lines: string[] } = { line: 1, lines: [] };
  const closeBlock = (): void => {
    const statements = split(file, block);
    if (section === null && statements[0]) {
      throw wrong(statements[0].line, 'a statement before the first "-- section:"');
    }
    for (const { sql, line } of statements) {
      if (section === null) continue;
      sections[section].push({ kind: 'sql', session, sql, line, fails: fails?.state ?? null });
      fails = null;
    }
  };
  const settled = (line: number): void => {
    if (fails !== null) throw wrong(line, `no statement follows "-- fails:" of line ${fails.line}`);
  };
  for (const [index, line] of [...text.split('\n'), '-- end: of the file'].entries()) {
    const number = index + 1;
    const marker = MARKER.exec(line);
    if (!marker) {
      block.lines.push(line);
      continue;
    }
    closeBlock();
    block = { line: number + 1, lines: [] };
    const [, word = '', value = ''] = marker;
    if (word === 'section') {
      settled(number);
      const next = SECTIONS.find((one) => one === value);
      if (!next) throw wrong(number, `section must be one of ${SECTIONS.join(', ')}`);
      if (sections[next].length > 0) throw wrong(number, `section ${next} is there twice`);
      section = next;
      session = 'main';
    } else if (word === 'session') {
      if (section === null || section === 'compare') {
        throw wrong(
          number,
          'a session belongs into schema, target, starting, copying or streaming',
        );
      }
      if (!/^[a-z][a-z0-9]*$/.test(value)) throw wrong(number, 'session needs a plain name');
      session = value;
    } else if (word === 'use') {
      if (section === null) throw wrong(number, 'use belongs into a section');
      const used = shared(value);
      if (used === undefined) throw wrong(number, `there is no file use/${value}.sql`);
      const path = `use/${value}.sql`;
      for (const { sql, line } of split(path, { line: 1, lines: used.split('\n') })) {
        sections[section].push({ kind: 'sql', session, sql, line, fails: null, from: path });
      }
    } else if (word === 'await') {
      if (section !== 'streaming' || value !== 'applied') {
        throw wrong(number, '"-- await: applied" is the only one, and belongs into streaming');
      }
      sections.streaming.push({ kind: 'applied', line: number });
    } else if (word === 'fails') {
      if (!/^[0-9A-Z]{5}$/.test(value)) throw wrong(number, 'fails needs a SQLSTATE');
      settled(number);
      fails = { state: value, line: number };
    } else if (word === 'end' && index === text.split('\n').length) {
      settled(number);
    } else {
      const problem = section === null ? head.take(word, value) : 'this marker belongs above';
      if (problem !== null) throw wrong(number, `"-- ${word}:": ${problem}`);
    }
  }
  return finish(name, file, head, sections, wrong);
}

function split(file: string, block: { line: number; lines: string[] }) {
  try {
    return splitStatements(block.lines.join('\n'), block.line);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^line /, '') : String(error);
    throw new Error(`${file}:${reason}`, { cause: error });
  }
}

function finish(
  name: string,
  file: string,
  head: Head,
  sections: Record<Section, Step[]>,
  wrong: (line: number, reason: string) => Error,
): FidelityCase {
  const { title, needs, refused, encodings, input } = head;
  if (title === '') throw wrong(1, 'there is no "-- title:"');
  if (sections.schema.length === 0) throw wrong(1, 'there is no "-- section: schema"');
  if (refused !== null) {
    const idle = (['starting', 'copying', 'streaming', 'compare'] as const).find(
      (s) => sections[s].length > 0,
    );
    if (idle) throw wrong(1, `preflight refuses it: section ${idle} would never run`);
  }
  return { name, file, title, needs, refused, encodings, input, sections };
}

/** The markers above the first section. */
class Head {
  title = '';
  needs: Need[] = [];
  refused: string | null = null;
  encodings = { source: 'UTF8', target: 'UTF8' };
  input: Record<string, unknown> = {};

  /** @returns what is wrong, or null. */
  take(word: string, value: string): string | null {
    const words = value.split(/\s+/);
    const [first = '', second = ''] = words;
    switch (word) {
      case 'title':
        if (this.title !== '' || value === '') return 'one title, and not an empty one';
        this.title = value;
        return null;
      case 'needs': {
        const need = words.length === 2 ? parseNeed(first, second) : null;
        if (!need) return 'extension NAME, wal2json 2.6, source MAJOR or target MAJOR';
        this.needs.push(need);
        return null;
      }
      case 'expect':
        if (first !== 'preflight' || !/^[a-z][a-z-]+$/.test(second)) return 'preflight CODE';
        this.refused = second;
        return null;
      case 'encoding':
        if ((first !== 'source' && first !== 'target') || !/^[A-Z0-9_]+$/.test(second)) {
          return 'source NAME or target NAME, as the server writes it (LATIN1)';
        }
        this.encodings[first] = second;
        return null;
      case 'input':
        return this.#takeInput(value);
      default:
        return 'unknown; known are title, needs, expect, encoding, input, section, session, use, await, fails (write a comment with a space before its colon)';
    }
  }

  #takeInput(value: string): string | null {
    try {
      const parsed: unknown = JSON.parse(value);
      if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
        return 'an object';
      this.input = { ...this.input, ...parsed };
      return null;
    } catch {
      return 'one line of JSON, like {"copy": {"chunkMegabytes": 1}}';
    }
  }
}

function parseNeed(kind: string, value: string): Need | null {
  if (kind === 'extension') return { kind, name: value };
  if (kind === 'wal2json') return value === '2.6' ? { kind, atLeast: value } : null;
  const major = Number(value);
  if ((kind !== 'source' && kind !== 'target') || !Number.isInteger(major)) return null;
  return { kind, major };
}
