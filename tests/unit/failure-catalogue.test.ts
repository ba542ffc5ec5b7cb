import { describe, expect, it } from 'vitest';
import { FAILURES, isFailureCode } from '../../contract/failure-catalogue.ts';

describe('failure catalogue', () => {
  it.each(Object.entries(FAILURES))('%s says what it means and what to do', (code, entry) => {
    expect(code).toMatch(/^[A-Z][A-Za-z]+$/);
    expect(entry.meaning).toMatch(/\.$/);
    expect(entry.action.length).toBeGreaterThan(5);
  });

  it('knows its own codes and no others', () => {
    expect(isFailureCode('SnapshotLost')).toBe(true);
    expect(isFailureCode('toString')).toBe(false);
    expect(isFailureCode(7)).toBe(false);
  });

  it('lets the copy retry only what the next pass can settle', () => {
    const settled = Object.entries(FAILURES).filter(([, { handling }]) => handling === 'pass');
    expect(settled.map(([code]) => code)).toEqual(['SnapshotLost', 'TableRewritten', 'Resync']);
  });
});
