/** The bench works: how fast anything is, no test says. */
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

test('npm run bench measures drain and copy, checks that both sides are equal, and writes its tables', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'walferry-bench-'));
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        'scripts/run.mjs',
        ...['bench', 'drain', 'copy', '--quick', '--results', folder],
        ...['--only', 'tpcb', 'wide rows'],
      ],
      { cwd: ROOT },
    );
    for (const [name, row] of [
      ['drain', 'tpcb'],
      ['copy', 'wide rows'],
    ] as const) {
      const text = await readFile(path.join(folder, `${name}.json`), 'utf8');
      const report = v.parse(reportSchema, JSON.parse(text));
      expect(report.rows.map((one) => one.name)).toContain(row);
      expect(stdout).toContain(`| ${row} |`);
      expect(await readFile(path.join(folder, `${name}.svg`), 'utf8')).toContain('<svg');
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}, 240_000);
