/**
 * The programs that tests start in processes of their own, as plain JavaScript: made once per run, because a loader that compiles
 * three hundred modules takes two thirds of the processor time of a worker's start, and the tests start hundreds. Everything else is
 * as in the checkout: paths, packages, and the workflow bundle.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { inject } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** Below node_modules, so that packages are found from there. */
const CACHE = path.join(ROOT, 'node_modules/.cache/walferry');
const PROGRAMS = ['scripts/program.ts', 'tests/support/stream-process.ts'] as const;
export type Program = (typeof PROGRAMS)[number];

declare module 'vitest' {
  interface ProvidedContext {
    builtPrograms: string;
  }
}

/** The words for Node that run a program of the checkout. */
export function wordsOf(program: Program): string[] {
  return [path.join(inject('builtPrograms'), program.replace(/\.ts$/, '.js'))];
}

/**
 * Builds all programs.
 * @returns their folder; its name is made from what is in it, so that parallel runs of other code have other ones.
 */
export async function buildPrograms(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: PROGRAMS.map((file) => path.join(ROOT, file)),
    outdir: path.join(CACHE, 'programs'),
    outbase: ROOT,
    ...{ bundle: true, splitting: true, packages: 'external', write: false, keepNames: true },
    ...{ format: 'esm', platform: 'node', target: 'node20', plugins: [ownPlaces] },
  });
  const hash = createHash('sha256');
  for (const { path: file, contents } of outputFiles) hash.update(file).update(contents);
  const folder = path.join(CACHE, `programs-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  const fresh = `${folder}.${process.pid}`;
  for (const { path: file, contents } of outputFiles) {
    const to = path.join(fresh, path.relative(path.join(CACHE, 'programs'), file));
    mkdirSync(path.dirname(to), { recursive: true });
    writeFileSync(to, contents);
  }
  try {
    renameSync(fresh, folder);
  } catch (error) {
    // Another run was faster.
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Each module keeps its place in the checkout: some find files beside them. */
const ownPlaces: Plugin = {
  name: 'own places',
  setup(builder) {
    builder.onLoad({ filter: /\.ts$/ }, ({ path: file }) => {
      const places = {
        'import.meta.dirname': path.dirname(file),
        'import.meta.filename': file,
        'import.meta.url': pathToFileURL(file).href,
      };
      let contents = readFileSync(file, 'utf8');
      for (const [name, place] of Object.entries(places)) {
        contents = contents.replaceAll(name, JSON.stringify(place));
      }
      return { contents, loader: 'ts' };
    });
  },
};
