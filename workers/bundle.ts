/**
 * The workflow code as one file. An installation contains it (`npm run build`). In a checkout bundling takes 2 to 7 seconds,
 * which is long for a worker that replaces a killed one, so the bundle is kept and found by a hash of everything that goes into
 * it. Bundling also takes 100 MB that a process never frees, so a child process creates the bundle.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { bundleWorkflowCode, type Logger, type WorkflowBundleOption } from '@temporalio/worker';

const ROOT = path.resolve(import.meta.dirname, '..');
/** `.ts` in a checkout, `.js` in a build. */
const EXTENSION = path.extname(import.meta.filename);
const BUILT = EXTENSION === '.js';
const ENTRY = path.join(ROOT, `workflows/migrate-database${EXTENSION}`);
const CACHE = path.join(ROOT, 'node_modules/.cache/walferry');
/** Folders whose code runs in the workflow sandbox, with their rooms. */
const FOLDERS = ['workflows', 'contract'];
/** Exact versions of all bundled packages. */
const LOCK = path.join(ROOT, 'package-lock.json');

/** A bundle for `Worker.create`; created when there is none for this code yet. */
export async function workflowBundle(logger: Logger): Promise<WorkflowBundleOption> {
  const codePath = pathOfBundle();
  if (!existsSync(codePath)) {
    const child = [...process.execArgv, path.join(import.meta.dirname, `make-bundle${EXTENSION}`)];
    await promisify(execFile)(process.execPath, child).catch((error: unknown) => {
      logger.debug('the bundle was not created by a child process', { error: String(error) });
    });
  }
  // Where no file may be kept, it is created here and held in memory.
  return existsSync(codePath) ? { codePath } : makeBundle(logger);
}

/** Whether there is a bundle for this code. */
export function hasBundle(): boolean {
  return existsSync(pathOfBundle());
}

/** Bundles, and keeps the bundle if that is possible. */
export async function makeBundle(logger?: Logger): Promise<WorkflowBundleOption> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: ENTRY,
    ...(logger === undefined ? {} : { logger }),
  });
  const codePath = pathOfBundle();
  return keep(codePath, code) ? { codePath } : { code };
}

/** A build has one bundle, whatever else changes: its users may not write there, and it holds no lock file to hash. */
function pathOfBundle(): string {
  if (BUILT) return path.join(ROOT, 'workflow-bundle.js');
  return path.join(CACHE, `workflows-${fingerprint()}.js`);
}

/** Atomic: two workers that start together may write the same file. */
function keep(codePath: string, code: string): boolean {
  const fresh = `${codePath}.${process.pid}`;
  try {
    mkdirSync(path.dirname(codePath), { recursive: true });
    writeFileSync(fresh, code);
    renameSync(fresh, codePath);
    return true;
  } catch {
    // The installation is not writable for its user: bundling again costs seconds, failing would cost the worker.
    return false;
  }
}

function fingerprint(): string {
  const hash = createHash('sha256');
  const sources = FOLDERS.flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .map((name) => path.join(ROOT, folder, name)),
  );
  for (const file of [...sources, LOCK]) {
    hash.update(path.relative(ROOT, file)).update('\0');
    if (existsSync(file)) hash.update(readFileSync(file));
    hash.update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}
