/**
 * The project's prose uses the terms of docs/reference/glossary.md. The words below were once used for them, or are no
 * plain English: none comes back in a comment, message, title or identifier.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { PACKAGE } from '../../scripts/local/package.ts';

/** What is refused, and what to write. Where a word has another, ordinary meaning, the pattern spares that. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/\bmend(s|ed|ing)?\b/i, 'fix, repair'],
  [/\banew\b/i, 'again, restarted'],
  [/\bnobody\b/i, 'no one, none'],
  [/\bnot to be had\b/i, 'unavailable'],
  [/\btold\b|\btells of\b/i, 'reported, reports'],
  [/\bloud\w*\b|Loud/, 'enabled (triggers)'],
  [/(?<!--)\bquiet(?! machine)\w*\b|Quiet/, 'disabled (triggers)'],
  [/(?<!geqo_|old |young )\bgenerations?\b|Generation/, 'exported snapshot'],
  [/\bfirst consistent|firstConsistent/i, 'consistent'],
  [/\bcop(y|ied|ies) ?again\b|CopyAgain/i, 'resync'],
  [/\brounds? of (the|a) copy\b|barren.?round/i, 'pass'],
  [/\bRoutes?\b/, 'table mapping'],
  [/\bmisfits?\b/i, 'shape mismatch'],
  [/[Vv]erdict|\bjudge[A-Z]/, 'drift check, drift, result'],
  [/\bspecial values?\b/i, 'non-finite numbers'],
  [/\blanes?\b|Lanes?\b/, 'session, stream, connection'],
  [/\binsisted\b|\battended\b|\bpatience\b/i, 'retryUntilDone, withOperator, retry budget'],
  [/\btraps?\b|Traps?\b|\bmuseum\b/i, 'case, fidelity suite'],
  [/\bcall(s|ed|ing)? (it |a \w+ |the \w+ )?off\b|calledOff|callOff/i, 'cancelled'],
  [/\bsince more than\b|\bagain and again\b|\bNOT as it must be\b/i, 'plain English'],
];

/** Recorded by a server, locked by the package manager, or this list. */
const SPARED = /^(package-lock\.json|tests\/replay\/histories\/|tests\/unit\/language\.test\.ts)/;
const TEXT = /\.(ts|md|sql|yml|mjs|json|js)$/;

test('no text or identifier uses a word that the glossary replaces', () => {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: PACKAGE, encoding: 'utf8' })
    .split('\0')
    .filter((file) => TEXT.test(file) && !SPARED.test(file));
  expect(files.length).toBeGreaterThan(500);
  const found = files.flatMap((file) =>
    readFileSync(path.join(PACKAGE, file), 'utf8')
      .split('\n')
      .flatMap((line, at) =>
        REFUSED.filter(([word]) => word.test(line)).map(
          ([word, better]) =>
            `${file}:${at + 1}: "${word.exec(line)?.[0] ?? ''}", write: ${better}`,
        ),
      ),
  );
  expect(found).toEqual([]);
});
