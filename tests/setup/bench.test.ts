/** The bench works; no test checks speed. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');

const reportSchema = v.object({
  rows: v.pipe(
    v.array(v.object({ name: v.string(), cells: v.record(v.string(), v.unknown()) })),
    v.minLength(1),
  ),
});

const CHOSEN = {
  drain: ['tpcb'],
  copy: ['wide rows'],
  lag: ['100/s'],
  cost: ['tpcb × 1', 'tpcb × 10', 'tpcb × 100'],
  fleet: ['4 idle'],
  recovery: ['SIGKILL'],
} as const;

test('npm run bench makes each of its measurements, checks that both sides are equal, and writes tables and charts', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'walferry-bench-'));
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        'scripts/walferry.mjs',
        ...['bench', ...Object.keys(CHOSEN), '--quick', '--results', folder],
        ...['--only', 'tpcb', 'wide rows', '100', 'idle'],
      ],
      { cwd: ROOT },
    );
    for (const [name, rows] of Object.entries(CHOSEN)) {
      const text = await readFile(path.join(folder, `${name}.json`), 'utf8');
      const report = v.parse(reportSchema, JSON.parse(text));
      expect(report.rows.map((row) => row.name)).toEqual(rows);
      const chart = await readFile(path.join(folder, `${name}.svg`), 'utf8');
      for (const row of rows) expect(stdout).toContain(`| ${row} |`);
      // A chart without a bar has no number either.
      expect(chart).toContain('class="value"');
    }
    expect(stdout).toContain('| tpcb: walsender, CPU s |');
    expect(stdout).not.toMatch(/\| -\d/);
  } finally {
    await rm(folder, { recursive: true });
  }
}, 600_000);
