/** Updates of an operator, each with an id of its own, and every answer: sent again until it is known, whatever restarts meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { UpdateName } from '../../../workflows/state/policy.ts';
import type { Lab } from '../lab.ts';

export interface Answer {
  readonly name: UpdateName;
  /** `ended`: the migration had ended before the update arrived. `wrong`: no answer that an operator can use. */
  readonly kind: 'done' | 'refused' | 'ended' | 'wrong';
  /** The type of a refusal. */
  readonly type: string;
  readonly text: string;
}

const AGAIN_MS = 300;
/** Types that say nothing to an operator: an error of ours, and an update that the end of the workflow has overtaken. */
const NO_ANSWERS = ['Internal', 'AcceptedUpdateCompletedWorkflow'];

export class Updates {
  readonly answers: Answer[] = [];
  /** Sent and not answered yet. */
  readonly open = new Map<string, UpdateName>();
  readonly #lab: Lab;
  readonly #tell: (text: string) => void;
  #over = false;

  constructor(lab: Lab, tell: (text: string) => void) {
    this.#lab = lab;
    this.#tell = tell;
  }

  /** @returns the answer, however long it takes. */
  async send(name: UpdateName, input: object | null): Promise<Answer> {
    const id = `${this.open.size + this.answers.length}-${name}-${randomUUID().slice(0, 4)}`;
    this.#tell(`→ ${id} ${input === null ? '' : JSON.stringify(input)}`);
    this.open.set(id, name);
    const answer = await this.#answerOf(id, name, input);
    this.open.delete(id);
    this.answers.push(answer);
    this.#tell(`← ${id} ${answer.kind} ${answer.type}: ${answer.text.slice(0, 300)}`);
    return answer;
  }

  /** No update is sent again from now on: the round has ended. */
  giveUp(): void {
    this.#over = true;
  }

  async #answerOf(updateId: string, name: UpdateName, input: object | null): Promise<Answer> {
    for (;;) {
      try {
        const { handle } = this.#lab;
        const text: unknown = await (input === null
          ? handle.executeUpdate<unknown, []>(name, { updateId })
          : handle.executeUpdate<unknown, [unknown]>(name, { updateId, args: [input] }));
        const kind = typeof text === 'string' && text.length > 0 ? 'done' : 'wrong';
        return { name, kind, type: '', text: String(text) };
      } catch (error) {
        const answer = answered(name, error);
        if (answer) return answer;
        if (this.#over)
          return { name, kind: 'wrong', type: '', text: `no answer: ${String(error)}` };
      }
      // The Temporal server restarts. The same id is the same update.
      await sleep(AGAIN_MS);
    }
  }
}

/** @returns undefined when the server did not answer. */
function answered(name: UpdateName, error: unknown): Answer | undefined {
  if (error instanceof WorkflowNotFoundError) {
    return { name, kind: 'ended', type: '', text: error.message };
  }
  if (!(error instanceof WorkflowUpdateFailedError)) return undefined;
  const { cause } = error;
  const isNamed =
    cause instanceof ApplicationFailure &&
    (cause.type ?? 'Error') !== 'Error' &&
    !NO_ANSWERS.includes(cause.type ?? '') &&
    cause.message.length > 0;
  if (isNamed) return { name, kind: 'refused', type: cause.type ?? '', text: cause.message };
  const type = cause instanceof ApplicationFailure ? (cause.type ?? '') : (cause?.name ?? '');
  return { name, kind: 'wrong', type, text: String(cause) };
}
