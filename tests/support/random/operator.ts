/** An operator who asks for anything at any time, and in the end for what ends the migration. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../../../contract/progress.ts';
import type { UpdateName } from '../../../workflows/state/policy.ts';
import { connectTo } from '../database.ts';
import { differencesOf } from '../equality.ts';
import type { Lab } from '../lab.ts';
import type { Ledger } from '../ledger.ts';
import { until } from '../until.ts';
import type { Pick } from './pick.ts';
import { Updates } from './updates.ts';

type Request = UpdateName | 'cancel';
type Shares = Readonly<Partial<Record<Request, number>>>;

/** How often each is asked for: enough that all follow each other, and that most rounds are not over at once. */
const SHARES: Shares = {
  ...{ pause: 4, resume: 5, setLimits: 3, verify: 4, repair: 1, approve: 2, 'await-cutover': 1 },
  ...{ rehearse: 5, cutover: 6, switchback: 4, finalize: 1, abort: 0.4, cancel: 0.4 },
};
/** What is allowed in the two phases in which most happens; in a third of all requests anything is asked for. */
const STREAMING: Shares = {
  ...{ pause: 3, resume: 4, setLimits: 2, verify: 3, approve: 2, 'await-cutover': 1 },
  ...{ rehearse: 4, cutover: 7 },
};
const REVERSE: Shares = { pause: 3, resume: 4, setLimits: 2, switchback: 5, finalize: 0.5 };
const ANYTHING_SHARE = 0.35;
const PROGRESS_MS = 1_000;
const ENOUGH_SECONDS = 60;
const LOOK_MS = 200;
const WINDOW_LEFT_MS = 5_000;
const END_WINDOW_SECONDS = 600;

export class Operator {
  readonly #lab: Lab;
  readonly #ledger: Ledger;
  readonly #pick: Pick;
  readonly #tell: (text: string) => void;
  readonly #updates: Updates;
  readonly #sent: Record<string, number> = {};
  /** Aborts without an answer, and cancellations: the application keeps to the old database until they are refused. */
  #ending = 0;
  #different = '';
  #becameEqual = false;

  constructor(lab: Lab, ledger: Ledger, pick: Pick, tell: (text: string) => void) {
    this.#lab = lab;
    this.#ledger = ledger;
    this.#pick = pick;
    this.#tell = tell;
    this.#updates = new Updates(lab, tell);
  }

  /** Names of the updates that are not answered yet. */
  get open(): UpdateName[] {
    return [...this.#updates.open.values()];
  }

  giveUp(): void {
    this.#updates.giveUp();
  }

  /** Asks for something. At times waits for the answer. */
  async act(): Promise<void> {
    const request = this.#drawn(await this.#phase());
    this.#sent[request] = (this.#sent[request] ?? 0) + 1;
    if (request === 'cancel') {
      await this.#keepOld();
      this.#tell('→ cancel');
      await until('the cancellation', () => this.#lab.handle.cancel());
      return;
    }
    if (request === 'abort') await this.#keepOld();
    const answer = this.#updates.send(request, this.#input(request)).then(async ({ kind }) => {
      if (request !== 'abort' || kind === 'done') return;
      this.#ending -= 1;
      if (this.#ending === 0) await this.#ledger.keepTo(null);
    });
    // Three seconds are enough for most; the others are met by the next request.
    if (this.#pick.chance(0.6)) await Promise.race([answer, sleep(3_000)]);
  }

  /** What was answered wrongly, and a verification that found a difference where no one else writes. */
  wrong(): string[] {
    const different = this.#updates.answers.filter(({ text }) => text.startsWith('Different'));
    return [
      ...this.#updates.answers
        .filter(({ kind }) => kind === 'wrong')
        .map(({ name, type, text }) => `${name} was answered with ${type} ${text}`),
      ...different.map(({ text }) => `a false alarm: ${text}`),
      ...(this.#different === '' ? [] : [`a false alarm: ${this.#different}`]),
    ];
  }

  counts(): Record<string, number> {
    const { answers } = this.#updates;
    const of = (kind: string) => answers.filter((one) => one.kind === kind).length;
    return { accepted: of('done'), refused: of('refused'), 'too late': of('ended') };
  }

  /**
   * Resumes, approves, cuts over, returns or finalizes until the migration has ended.
   * @param writersStopped no one writes: both sides have to become equal before a way back is ended.
   * @returns whether they have: both have to be equal afterwards, too.
   */
  async leadToEnd(seconds: number, writersStopped: boolean): Promise<boolean> {
    // One cancelled cutover or lost worker more is met by the next look.
    await until(
      'the migration to end',
      async () => {
        const { status } = await this.#lab.handle.describe();
        if (status.name !== 'RUNNING') return true;
        await this.#next(await this.#lab.progress(), writersStopped);
        return false;
      },
      { seconds, everyMilliseconds: LOOK_MS },
    );
    return this.#becameEqual;
  }

  async #next(now: Progress, writersStopped: boolean): Promise<void> {
    const { last } = now.verification ?? {};
    if (last?.report.result === 'different')
      this.#different = JSON.stringify(last.report.differing);
    if (now.state === 'waiting') {
      this.#tell(`waits: ${now.waiting?.code} ${now.waiting?.reason}`);
      await this.#answered('resume');
    } else if (now.phase === 'reverse') await this.#endWayBack(now, writersStopped);
    else if (now.phase === 'stream') await this.#switch(now);
  }

  async #switch(now: Progress): Promise<void> {
    if (now.state === 'paused' && this.#pick.chance(0.5)) return this.#answered('resume');
    await this.#answered('setLimits', { applyChangesPerSecond: 0 });
    if (now.request?.unapproved === true || this.#pick.chance(0.3)) {
      await this.#answered('approve', { name: 'Ada' });
    }
    await this.#answered('cutover', { maxDowntimeSeconds: 90, ...freshWindow(now) });
  }

  async #endWayBack(now: Progress, writersStopped: boolean): Promise<void> {
    if (now.cutover) return;
    if (now.state === 'paused') return this.#answered('resume');
    await this.#answered('setLimits', { applyChangesPerSecond: 0 });
    if (writersStopped) {
      await this.#equal();
      this.#becameEqual = true;
    }
    if (this.#pick.chance(0.5)) await this.#answered('finalize');
    else await this.#answered('switchback', { maxDowntimeSeconds: 90 });
  }

  /** Without a writer the way back brings everything. */
  async #equal(): Promise<void> {
    await using source = await connectTo(this.#lab.pair.source);
    await using target = await connectTo(this.#lab.pair.target);
    await until(
      'both sides to be equal',
      async () => {
        const found = await differencesOf(source, target, 'ahead');
        if (found.length > 0) throw new Error(found.join('; '));
        return true;
      },
      { seconds: ENOUGH_SECONDS, everyMilliseconds: LOOK_MS },
    );
  }

  /** Waits for the answer, or for the end: a cutover may have been asked for before. */
  async #answered(name: UpdateName, input: object | null = null): Promise<void> {
    await Promise.race([this.#updates.send(name, input), sleep(ENOUGH_SECONDS * 1_000)]);
  }

  async #keepOld(): Promise<void> {
    this.#ending += 1;
    await this.#ledger.keepTo('source');
  }

  /** Unknown while no worker answers. */
  async #phase(): Promise<string> {
    const asked = this.#lab.progress().then(
      ({ phase }) => phase,
      () => '',
    );
    return Promise.race([asked, sleep(PROGRESS_MS, '')]);
  }

  #drawn(phase: string): Request {
    const fitting = phase === 'reverse' ? REVERSE : STREAMING;
    const shares = Object.entries(this.#pick.chance(ANYTHING_SHARE) ? SHARES : fitting);
    let left = this.#pick.next() * shares.reduce((sum, [, share]) => sum + share, 0);
    const found = shares.find(([, share]) => (left -= share) < 0);
    // The keys are requests, which Object.entries does not say.
    return (found?.[0] ?? 'cutover') as Request;
  }

  /** Null: none. */
  #input(request: string): object | null {
    const pick = this.#pick;
    const from = inSeconds(pick.below(5));
    const to = inSeconds(30);
    switch (request) {
      case 'setLimits':
        return pick.one([
          { applyChangesPerSecond: pick.one([0, 50, 2_000]) },
          { copyStreams: pick.below(4), copyBytesPerSecond: 0 },
          { unknown: 1 },
        ]);
      case 'rehearse':
        return pick.one([null, { fence: true }, { fence: true }]);
      case 'approve':
        return { name: 'Ada', note: 'a round' };
      case 'cutover':
        return pick.one([
          null,
          { maxDowntimeSeconds: pick.one([1, 3, 10, 60]) },
          { maxDowntimeSeconds: 60 },
          { compare: 'off', accept: ['index-invalid'] },
          { window: { from, to } },
          { maxDowntimeSeconds: 0 },
        ]);
      case 'switchback':
        return pick.one([null, { maxDowntimeSeconds: pick.one([1, 3, 60]) }]);
      default:
        return null;
    }
  }
}

/** Once one was given a cutover has a window, and one that has passed is refused until there is another. */
function freshWindow({ window }: Progress): object {
  if (!window || Date.parse(window.to) > Date.now() + WINDOW_LEFT_MS) return {};
  return { window: { from: inSeconds(0), to: inSeconds(END_WINDOW_SECONDS) } };
}

/** As an operator types it: without a fraction of a second. */
function inSeconds(seconds: number): string {
  return `${new Date(Date.now() + seconds * 1_000).toISOString().slice(0, 19)}Z`;
}
