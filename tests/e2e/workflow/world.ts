/**
 * Two databases in memory, one pair per migration: what the steps of postgres/ would find and leave. The real
 * activity adapters use them, so that the workflow meets real heartbeats, cancellations and failures, and a test can
 * script what happens next at any step. Imports nothing of the test runner: the recorder of histories also uses it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DefinitionReport } from '../../../contract/definition.ts';
import type { ReadinessFacts } from '../../../contract/readiness.ts';
import type { Steps } from '../../../activities/steps.ts';
import { MigrationError, type FailureDetails } from '../../../contract/failure.ts';
import type { FailureCode } from '../../../contract/failure-catalogue.ts';
import type { Finding } from '../../../contract/finding.ts';
import type { Limits } from '../../../contract/limits.ts';
import { compareLsn, formatLsn, lsnToBigInt, type Lsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { AfterRelease, ChangedReport, Decided } from '../../../contract/cutover.ts';
import { resolvedWindow } from '../../../contract/window.ts';
import type { CopyPlan, CopyRun, HoldReport, Work } from '../../../contract/work.ts';
import { Verifications } from './verifications.ts';

export type StepName = keyof Steps;

/** What a step does once, instead of or before its usual work. */
export type Twist = (work: Work) => Promise<void>;

const TICK_MS = 10;
/** The simulated work has no real size: a source commits this many bytes of WAL each tick. */
const WAL_PER_TICK = 0x60n;

export class World {
  findings: Finding[] = [];
  readiness: ReadinessFacts = {
    slot: { status: 'reserved', heldBytes: 1, safeBytes: null },
    ...{ walBytes: null, lagBytes: 0, writer: null, prepared: { count: 0, seconds: 0 } },
    ...{ invalidIndexes: [], unanalyzed: [], unreadableSequences: [] },
  };
  definitions: DefinitionReport = { differences: [], more: 0, wrong: 0, notCompared: [] };
  tables = false;
  slot = false;
  control = false;
  triggersEnabled = false;
  /** The source's gate, and whether its deadline has passed. */
  gate: { cutover: string; state: 'open' | 'armed' | 'sealed'; deadline: number } | undefined;
  /** Rows of `walferry.outcome`. */
  readonly outcomes = new Map<string, Decided>();
  /** The same of a switch back: the gate is on the target, and the outcome on the source. */
  gateBack: World['gate'];
  readonly outcomesBack = new Map<string, Decided>();
  /** The slot and the row of the way back. */
  wayBack = { slot: false, row: false };
  /** The oldest transaction that writes when a cutover is prepared. */
  writer: { readonly who: string; readonly ms: number } | undefined;
  /** Changes that slip in between the first mark and the seal. */
  slipping = false;
  /** Tables that changed after the end mark. */
  late: string[] = [];
  equal = true;
  /** What the comparison of changed rows finds, and what the checks take when they are measured. */
  changed: ChangedReport = { since: formatLsn(0x1000n), tables: 3, rows: 14, notCompared: [] };
  checkSeconds = 0.2;
  /** What the operator's own SQL and command did. */
  afterRelease: AfterRelease = { statements: 0, failed: null, command: null, commandFailed: null };
  /** What cannot be removed of the target's fence at the end. */
  targetFence: string[] = [];
  /** Update id of a cutover → the run that began it. */
  readonly begun = new Map<string, string>();
  /** What was written into the control schema, in order. */
  readonly limits: { readonly limits: Limits; readonly version: number }[] = [];
  pass = 0;
  /** The exported snapshot whose owner is alive. */
  live: number | undefined;
  /** The exported snapshot under which a plan found nothing left: its owner ends on its own. */
  over: number | undefined;
  /** What happens between that and the plan's answer. */
  beforeEmptyPlan: () => Promise<void> = () => Promise.resolve();
  /** `snapshot:chunk` of tables that were rewritten under that snapshot. */
  readonly rewritten = new Set<string>();
  /** Whether a run reports a rewritten table by failing; otherwise it skips its chunks. */
  rewriteFails = false;
  /** Whether its result distinguishes rewritten chunks from others that it skipped. */
  tellsRewrites = true;
  /** Exported snapshots that met a rewritten table: no plan uses them again. */
  readonly spoiled = new Set<number>();
  readonly done = new Set<number>();
  /** Chunk → how often it was copied. */
  readonly copies = new Map<number, number>();
  chunksTotal = 6;
  chunksPerRun = 2;
  /** Chunks that take no time, for plans too large to wait for. */
  instantChunks = false;
  parallelism = 2;
  /** The source's position and the target's. */
  position = 0x1000n;
  confirmed = 0x1000n;
  epoch = 0;
  /** The newest exported snapshot's position: the target is consistent after it. */
  consistentAt = 0n;
  leaseMs: number | undefined;
  /** Anchors, compared pieces and differences. */
  readonly verifications = new Verifications(() => this.isRunning('streamChanges'));
  readonly calls = new Map<StepName, number>();
  /** Attempts of a step that are running now. */
  readonly running = new Map<StepName, number>();
  /** The most streams that ran at the same time. */
  mostStreams = 0;
  readonly #twists = new Map<StepName, Twist[]>();
  readonly #mangled = new Map<StepName, unknown>();

  /** The next call of the step returns this instead of its result, as only a bug would. */
  mangle(step: StepName, result: unknown): void {
    this.#mangled.set(step, result);
  }

  /** The next calls of the step begin with these, one each. */
  script(step: StepName, ...twists: Twist[]): void {
    this.#twists.set(step, [...(this.#twists.get(step) ?? []), ...twists]);
  }

  /** The next call of the step fails. */
  fail(
    step: StepName,
    code: FailureCode,
    message = `${step} met ${code}`,
    details: FailureDetails = {},
  ): void {
    this.script(step, () =>
      Promise.reject(new MigrationError(code, message, { sqlstate: 'XX000', ...details })),
    );
  }

  /**
   * The next call of the step blocks, with heartbeats, until the returned function is called or it is asked to stop.
   */
  hold(step: StepName): () => void {
    const hold = { released: false };
    this.script(step, async (work) => {
      while (!hold.released) await tick(work);
    });
    return () => {
      hold.released = true;
    };
  }

  /** Removes what was scripted for the step: its database is back. */
  clear(step: StepName): void {
    this.#twists.delete(step);
  }

  count(step: StepName): number {
    return this.calls.get(step) ?? 0;
  }

  isRunning(step: StepName): boolean {
    return (this.running.get(step) ?? 0) > 0;
  }

  /** Whether anything remains that a migration must not leave. */
  get leftovers(): string[] {
    return [
      ...(this.slot ? ['slot'] : []),
      ...(this.control ? ['control'] : []),
      ...(this.wayBack.slot ? ['slot of the way back'] : []),
      ...(this.wayBack.row ? ['row of the way back'] : []),
      ...[...this.running].filter(([, n]) => n > 0).map(([step]) => `running ${step}`),
    ];
  }

  async run<T>(step: StepName, work: Work | undefined, body: () => Promise<T>): Promise<T> {
    this.calls.set(step, this.count(step) + 1);
    this.running.set(step, (this.running.get(step) ?? 0) + 1);
    this.mostStreams = Math.max(this.mostStreams, this.running.get('streamChanges') ?? 0);
    try {
      const twist = this.#twists.get(step)?.shift();
      if (twist) await twist(work ?? IDLE);
      const result = await body();
      if (!this.#mangled.has(step)) return result;
      const mangled = this.#mangled.get(step) as T;
      this.#mangled.delete(step);
      return mangled;
    } finally {
      this.running.set(step, (this.running.get(step) ?? 0) - 1);
    }
  }
}

const IDLE: Work = {
  signal: new AbortController().signal,
  beat: () => undefined,
  log: { info: () => undefined, warn: () => undefined },
};

/** A moment of work: sends a heartbeat, and stops when asked. */
async function tick(work: Work, milliseconds = TICK_MS): Promise<void> {
  await sleep(milliseconds);
  work.signal.throwIfAborted();
  work.beat({ simulated: true });
}

/** The steps over the worlds; `worldOf` finds the world of a migration. */
export function simulatedSteps(worldOf: (migration: Migration) => World): Steps {
  const on = <T>(
    step: StepName,
    migration: Migration,
    work: Work | undefined,
    body: (world: World) => Promise<T> | T,
  ): Promise<T> => {
    const world = worldOf(migration);
    return world.run(step, work, async () => body(world));
  };
  return {
    preflight: ({ migration: m }, work) => on('preflight', m, work, (world) => world.findings),
    resolveWindow: ({ window }) => Promise.resolve(resolvedWindow(window)),
    copySchema: ({ migration: m }, work) =>
      on('copySchema', m, work, (world) => {
        world.tables = world.control = true;
        return { created: true, tables: 3, statements: 9, later: { indexes: 4, constraints: 2 } };
      }),
    createSlot: ({ migration: m }, work) =>
      on('createSlot', m, work, (world) => {
        world.slot = true;
        return { slot: m.slot, consistentLsn: formatLsn(world.confirmed) };
      }),
    holdSnapshot: ({ migration: m }, work) =>
      on('holdSnapshot', m, work, (world) => hold(world, work)),
    openWayBack: ({ migration: m }, work) =>
      on('openWayBack', m, work, (world) => {
        world.wayBack = { slot: true, row: true };
        return { slot: m.slot, consistentLsn: formatLsn(1n) };
      }),
    advanceReverseSlot: ({ migration: m }, work) =>
      on('advanceReverseSlot', m, work, (world) => {
        if (world.wayBack.slot) return formatLsn(1n);
        throw new MigrationError('SlotMissing', 'slot "x" does not exist on the new database');
      }),
    planReverse: ({ migration: m }, work) =>
      on('planReverse', m, work, () => ({ tables: 3, notReturned: [] })),
    startReverse: ({ migration: m, released }, work) =>
      on('startReverse', m, work, (world) => {
        // Enabled for the application; the changes of the way back go to the other database.
        world.triggersEnabled = false;
        // Positions of another server.
        world.position = world.confirmed = lsnToBigInt(released);
      }),
    openOld: ({ migration: m, cutover }, work) =>
      on('openOld', m, work, (world) => {
        if (world.outcomesBack.get(cutover) !== 'switched') {
          throw new MigrationError('FenceRefused', 'it has not switched back');
        }
        if (world.gate) world.gate.state = 'open';
      }),
    settleOld: ({ migration: m, oldDatabase }, work) =>
      on('settleOld', m, work, (world) => {
        if (oldDatabase === 'open') world.gate = undefined;
        return { left: [], statement: oldDatabase === 'open' ? null : 'drop schema x cascade' };
      }),
    dropReverseSlot: ({ migration: m }) =>
      on('dropReverseSlot', m, undefined, (world) => {
        const before = world.wayBack.slot;
        world.wayBack.slot = false;
        return before ? 'dropped' : 'absent';
      }),
    closeWayBack: ({ migration: m }, work) =>
      on('closeWayBack', m, work, (world) => {
        world.wayBack.row = false;
      }),
    storeLimits: ({ migration: m, limits, version }) =>
      on('storeLimits', m, undefined, (world) => {
        world.limits.push({ limits, version });
      }),
    planCopy: ({ migration: m }, work) => on('planCopy', m, work, (world) => plan(world, work)),
    copyChunks: ({ migration: m, pass, run }, work) =>
      on('copyChunks', m, work, (world) => copy(world, pass, run, work)),
    buildIndexes: ({ migration: m }, work) =>
      on('buildIndexes', m, work, () => ({ indexes: 4, constraints: 0, built: 4, total: 4 })),
    analyzeTables: ({ migration: m }, work) => on('analyzeTables', m, work, () => ({ tables: 3 })),
    refreshViews: ({ migration: m }, work) => on('refreshViews', m, work, () => ({ views: 1 })),
    buildConstraints: ({ migration: m }, work) =>
      on('buildConstraints', m, work, () => ({ indexes: 0, constraints: 2, built: 2, total: 2 })),
    streamChanges: ({ migration: m, floor, until, leaseMs }, work) =>
      on('streamChanges', m, work, (world) =>
        stream(world, { floor, until, leaseMs: world.leaseMs ?? leaseMs }, work),
      ),
    holdAnchor: ({ migration: m, verification }, work) =>
      on('holdAnchor', m, work, (world) => world.verifications.hold(verification, work)),
    planVerification: ({ migration: m, verification }, work) =>
      on('planVerification', m, work, (world) => world.verifications.plan(verification, work)),
    comparePieces: ({ migration: m, verification, run }, work) =>
      on('comparePieces', m, work, (world) => world.verifications.compare(verification, run, work)),
    concludeVerification: ({ migration: m, verification }, work) =>
      on('concludeVerification', m, work, (world) =>
        world.verifications.conclude(verification, formatLsn(world.confirmed)),
      ),
    repairRows: ({ migration: m, verification }, work) =>
      on('repairRows', m, work, (world) => world.verifications.repair(verification)),
    fenceStream: ({ migration: m }) =>
      on('fenceStream', m, undefined, (world) => {
        world.epoch++;
        return { confirmedLsn: formatLsn(world.confirmed), transactions: 1, changes: 2 };
      }),
    writeEndMark: ({ migration: m, call }) =>
      on('writeEndMark', m, undefined, (world) => {
        if (call) {
          const begun = world.begun.get(call.update) ?? call.run;
          world.begun.set(call.update, begun);
          if (begun !== call.run) throw new MigrationError('CutoverRepeated', 'begun before');
        }
        return formatLsn(world.position);
      }),
    compareDefinitions: ({ migration: m }, work) =>
      on('compareDefinitions', m, work, (world) => world.definitions),
    assessReadiness: ({ migration: m }, work) =>
      on('assessReadiness', m, work, (world) => world.readiness),
    setSequences: ({ migration: m }, work) =>
      on('setSequences', m, work, () => ({ sequences: 5, missing: [] })),
    compareCounts: ({ migration: m }, work) =>
      on('compareCounts', m, work, (world) => {
        if (world.equal) return { tables: 3, rows: 600 };
        throw new MigrationError('NotEqual', 'public.orders: 600 rows on the source, 599 here');
      }),
    laterChanges: ({ migration: m }) => on('laterChanges', m, undefined, (world) => world.late),
    enableTriggers: ({ migration: m }, work) =>
      on('enableTriggers', m, work, (world) => {
        world.triggersEnabled = true;
        return { enabled: 1 };
      }),
    disableTriggers: ({ migration: m }, work) =>
      on('disableTriggers', m, work, (world) => {
        world.triggersEnabled = false;
        return 1;
      }),
    ...boxSteps(on),
    dropSlot: ({ migration: m, since }) =>
      on('dropSlot', m, undefined, (world) => {
        if (since !== undefined && world.late.length > 0) {
          throw new MigrationError('StillWriting', `${world.late.join(', ')} changed`);
        }
        const before = world.slot;
        world.slot = false;
        return before ? 'dropped' : 'absent';
      }),
    undoSchema: ({ migration: m }) =>
      on('undoSchema', m, undefined, (world) => {
        world.tables = world.control = false;
        return { left: world.targetFence };
      }),
    dropControl: ({ migration: m }) =>
      on('dropControl', m, undefined, (world) => {
        world.control = false;
        return { left: world.targetFence };
      }),
  };
}

type On = <T>(
  step: StepName,
  migration: Migration,
  work: Work | undefined,
  body: (world: World) => Promise<T> | T,
) => Promise<T>;

type BoxStep =
  | 'prepareCutover'
  | 'rehearseProof'
  | 'rehearseSwitch'
  | 'armCutover'
  | 'sealCutover'
  | 'afterRelease'
  | 'compareChanged'
  | 'compareEveryRow'
  | 'measureChecks'
  | 'switchCutover'
  | 'undoCutover'
  | 'removeFence'
  | 'lookAtSource';

/** A cutover with a fence: the gate of the source and the outcome on the target, as the real steps keep them. */
function boxSteps(on: On): Pick<Steps, BoxStep> {
  const outcomesOf = (world: World, back?: boolean): World['outcomes'] =>
    back ? world.outcomesBack : world.outcomes;
  const decide = (outcomes: World['outcomes'], cutover: string, what: Decided): Decided => {
    const decided = outcomes.get(cutover) ?? what;
    outcomes.set(cutover, decided);
    return decided;
  };
  const reported = (decided: Decided) => ({
    decided,
    releaseLsn: decided === 'switched' ? formatLsn(0x2000n) : null,
    downtimeMs: decided === 'switched' ? 1_200 : null,
  });
  return {
    prepareCutover: ({ migration: m, back }, work) =>
      on('prepareCutover', m, work, (world) => {
        const [switched] = [...outcomesOf(world, back)].find(([, what]) => what === 'switched') ?? [
          null,
        ];
        const { who = null, ms = 0 } = world.writer ?? {};
        return { switched, releaseLsn: null, downtimeMs: null, writer: who, writerMs: ms };
      }),
    rehearseProof: ({ migration: m }, work) =>
      on('rehearseProof', m, work, () => ({ holders: 2, ended: 0, waitedMs: 400 })),
    rehearseSwitch: ({ migration: m }, work) =>
      on('rehearseSwitch', m, work, () => ({ releaseMs: 100, triggers: 3, probeMs: 20 })),
    armCutover: ({ migration: m, back, box }, work) =>
      on('armCutover', m, work, (world) => {
        const decided = outcomesOf(world, back).get(box.cutover);
        const key = back ? 'gateBack' : 'gate';
        if (decided) return { decided };
        const deadline = Date.now() + box.milliseconds;
        const gate =
          world[key]?.cutover === box.cutover
            ? world[key]
            : { cutover: box.cutover, state: 'armed' as const, deadline };
        world[key] = gate;
        return {
          ...{ decided: null, deadline: new Date(gate.deadline).toISOString() },
          ...{ mark: formatLsn(world.position), holders: 0, waitedMs: 0 },
        };
      }),
    compareChanged: ({ migration: m }, work) =>
      on('compareChanged', m, work, (world) => world.changed),
    compareEveryRow: ({ migration: m }, work) =>
      on('compareEveryRow', m, work, () => ({ tables: 3, rows: 600, notCompared: [] })),
    measureChecks: ({ migration: m }, work) =>
      on('measureChecks', m, work, (world) => ({ seconds: world.checkSeconds })),
    sealCutover: ({ migration: m, back, cutover }, work) =>
      on('sealCutover', m, work, (world) => {
        const decided = outcomesOf(world, back).get(cutover);
        if (decided) return { decided };
        const gate = back ? world.gateBack : world.gate;
        if (gate?.cutover !== cutover || gate.state === 'open' || gate.deadline < Date.now()) {
          return { decided: null, mark: null };
        }
        gate.state = 'sealed';
        if (world.slipping) world.position += WAL_PER_TICK;
        return { decided: null, mark: formatLsn(world.position) };
      }),
    switchCutover: ({ migration: m, back, cutover }, work) =>
      on('switchCutover', m, work, (world) => {
        world.triggersEnabled = true;
        const decided = decide(outcomesOf(world, back), cutover, 'switched');
        const sequences = { sequences: 5, missing: [] };
        return { ...reported(decided), sequences, differences: [] };
      }),
    afterRelease: ({ migration: m }, work) =>
      on('afterRelease', m, work, (world) => world.afterRelease),
    undoCutover: ({ migration: m, back, cutover }, work) =>
      on('undoCutover', m, work, (world) => {
        const decided = decide(outcomesOf(world, back), cutover, 'undone');
        const gate = back ? world.gateBack : world.gate;
        if (decided === 'undone' && gate?.cutover === cutover) gate.state = 'open';
        return reported(decided);
      }),
    removeFence: ({ migration: m }, work) =>
      on('removeFence', m, work, (world) => {
        world.gate = undefined;
        return { left: [] };
      }),
    lookAtSource: ({ migration: m, back }, work) =>
      on('lookAtSource', m, work, (world) => ({
        sealedAgain: (back ? world.gateBack : world.gate)?.state !== 'sealed',
        late: world.late,
      })),
  };
}

async function hold(world: World, work: Work): Promise<HoldReport> {
  const mine = ++world.pass;
  world.live = mine;
  world.consistentAt = world.position;
  try {
    while (!work.signal.aborted) {
      if (world.live !== mine) throw new MigrationError('SnapshotLost', 'the snapshot owner ended');
      if (world.over === mine) return { nothingLeft: true };
      work.beat({ pass: mine });
      await sleep(TICK_MS);
    }
    return { nothingLeft: false };
  } finally {
    if (world.live === mine) world.live = undefined;
  }
}

async function plan(world: World, work: Work): Promise<CopyPlan> {
  const left = Array.from({ length: world.chunksTotal }, (_, i) => i).filter(
    (chunk) => !world.done.has(chunk),
  );
  // With nothing left, no snapshot owner is needed.
  if (left.length === 0) {
    world.over = world.live;
    await world.beforeEmptyPlan();
  }
  const fits = () => world.live !== undefined && !world.spoiled.has(world.live);
  while (left.length > 0 && !fits()) await tick(work);
  const runs: CopyRun[] = [];
  for (let i = 0; i < left.length; i += world.chunksPerRun) {
    const chunks = left.slice(i, i + world.chunksPerRun);
    const [first = 0] = chunks;
    const last = chunks.at(-1) ?? first;
    const label = `public.orders ${first + 1}-${last + 1}`;
    runs.push({ id: `copy-${first}-${last}`, label, firstChunk: first, lastChunk: last });
  }
  const done = world.done.size;
  return {
    ...{
      pass: world.live ?? world.pass,
      runs,
      parallelism: world.parallelism,
      most: 32,
      tables: 3,
    },
    ...{ chunksDone: done, chunksTotal: world.chunksTotal, rows: done * 100, bytes: done * 10_000 },
    ...{ estimatedRows: world.chunksTotal * 100, estimatedBytes: world.chunksTotal * 10_000 },
  };
}

async function copy(world: World, pass: number, run: CopyRun, work: Work) {
  let chunks = 0;
  let skipped = 0;
  let rewritten = 0;
  for (let chunk = run.firstChunk; chunk <= run.lastChunk; chunk++) {
    if (world.done.has(chunk)) {
      skipped++;
      continue;
    }
    if (world.live !== pass) {
      throw new MigrationError('SnapshotLost', `exported snapshot ${pass} has ended`);
    }
    if (world.rewritten.has(`${pass}:${chunk}`)) {
      world.spoiled.add(pass);
      if (world.rewriteFails) {
        throw new MigrationError('TableRewritten', 'table public.orders was rewritten');
      }
      rewritten++;
      continue;
    }
    if (!world.instantChunks) await tick(work);
    world.done.add(chunk);
    world.copies.set(chunk, (world.copies.get(chunk) ?? 0) + 1);
    chunks++;
  }
  if (!world.tellsRewrites) skipped += rewritten;
  return {
    ...{ chunks, skipped, rows: chunks * 100, bytes: chunks * 10_000 },
    ...(world.tellsRewrites ? { rewritten } : {}),
  };
}

interface StreamLimits {
  readonly floor: Lsn | null;
  readonly until: Lsn | null;
  readonly leaseMs: number;
}

/** Applies the WAL that the source writes; ends at a commit when asked to, like the real one. */
async function stream(world: World, { floor, until, leaseMs }: StreamLimits, work: Work) {
  const mine = ++world.epoch;
  // Real ones would write their changes twice.
  if (world.triggersEnabled) throw new MigrationError('Internal', 'applied under enabled triggers');
  if (floor !== null && compareLsn(formatLsn(world.confirmed), floor) < 0) {
    throw new MigrationError('CheckpointMissing', `the target stands below ${floor}`);
  }
  const ends = Date.now() + leaseMs;
  const reached = () => until !== null && compareLsn(formatLsn(world.confirmed), until) >= 0;
  while (!work.signal.aborted && !reached() && (until !== null || Date.now() < ends)) {
    await sleep(TICK_MS);
    if (world.epoch !== mine) throw new MigrationError('Fenced', `epoch ${mine} is over`);
    if (until === null) world.position += WAL_PER_TICK;
    world.confirmed = world.position;
    work.beat({ confirmedLsn: formatLsn(world.confirmed) });
  }
  const confirmedLsn = formatLsn(world.confirmed);
  const applied = Number((world.confirmed - 0x1000n) / WAL_PER_TICK);
  return {
    ...{ confirmedLsn, receivedLsn: confirmedLsn, transactions: applied, changes: applied * 2 },
    ...{ lagBytes: 0, lagSeconds: 0, rate: 10, reached: reached() },
    consistent: world.confirmed > world.consistentAt,
  };
}
