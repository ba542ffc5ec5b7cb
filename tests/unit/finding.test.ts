/** How findings are shown: in the failure, in Current Details, and by the command. */
import { describe, expect, it } from 'vitest';
import {
  countFindings,
  noteFindings,
  renderFindings,
  type Finding,
} from '../../contract/finding.ts';
import { describeFacts, describeFindings } from '../../scripts/preflight/lines.ts';
import { ENDPOINT, MIGRATION, SOURCE, TARGET } from '../support/preflight-facts.ts';
import { parseInput } from '../../contract/input.ts';

const finding = (level: Finding['level'], code: string): Finding => ({
  ...{ level, code },
  message: `it is ${code}`,
  action: `Fix ${code}.`,
});
const MIXED = [finding('note', 'n'), finding('error', 'e'), finding('warning', 'w')];

describe('findings are read errors first, then warnings, then notes', () => {
  it('in the failure, where warnings and notes are marked as such', () => {
    expect(renderFindings(MIXED)).toBe(
      '1. [e] it is e. Fix e.\n2. [w] warning: it is w. Fix w.\n3. [n] note: it is n. Fix n.',
    );
  });

  it('and are counted by level, so that a numbered list of all does not look like errors only', () => {
    expect(countFindings(MIXED)).toBe('1 error (and 1 warning, 1 note)');
    expect(countFindings([finding('error', 'a'), finding('error', 'b')])).toBe('2 errors');
    expect(countFindings([finding('note', 'a'), finding('note', 'b')])).toBe(
      '0 errors (and 2 notes)',
    );
  });

  it('in Current Details, with their level', () => {
    expect(noteFindings(MIXED)).toEqual([
      'error [e]: it is e. Fix e.',
      'warning [w]: it is w. Fix w.',
      'note [n]: it is n. Fix n.',
    ]);
  });

  it('the number of omitted ones is shown, and an error is never omitted', () => {
    const many = [...Array.from({ length: 40 }, () => finding('note', 'n')), finding('error', 'e')];
    expect(renderFindings(many)).toMatch(
      /^1\. \[e\][^]*and 11 more: walferry preflight shows all$/,
    );
    expect(noteFindings(many)).toHaveLength(31);
    expect(noteFindings(many).at(0)).toMatch(/^error/);
  });
});

describe('the command', () => {
  it('ends with the result and the counts', () => {
    expect(describeFindings(MIXED).at(-1)).toBe('refused: 1 error, 1 warning, 1 note');
    expect(describeFindings([]).at(-1)).toBe('ready: 0 errors, 0 warnings, 0 notes');
  });

  it('says what is where, and what could not be inspected', () => {
    const parsed = parseInput({ source: 'old', target: 'new' });
    if (!parsed.ok) throw new Error(parsed.message);
    const facts = {
      ...{ migration: MIGRATION, input: parsed.input, failures: [] },
      ...{ source: SOURCE, target: null, endpoints: { source: ENDPOINT, target: null } },
      programs: [{ name: 'pg_dump', major: null }],
      rehearsal: null,
    };
    expect(describeFacts(facts)).toEqual([
      'source   old: PostgreSQL 15.18, database "app" (UTF8), role mover, db.example.com:5432 with TLS, host verified',
      'target   new: could not be checked',
      'tables   1 selected, about 1 row, 8.0 kB without indexes',
      'wal2json usable, accepts every option (2.6 or newer)',
      'worker   pg_dump missing',
    ]);
    expect(describeFacts({ ...facts, target: TARGET })[1]).toBe(
      'target   new: PostgreSQL 15.18, database "app" (UTF8), role mover',
    );
  });
});
