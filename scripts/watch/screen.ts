/** Where the view is shown: one block updated in place on a terminal, plain lines everywhere else. */
import { createLogUpdate } from 'log-update';
import type { View } from './model.ts';
import { headline, renderBlock, renderLine } from './block.ts';

export interface Screen {
  show(view: View): void;
  /** Keeps what is shown and prints a line below it. */
  say(line: string): void;
  end(): void;
}

/** In a log one line every few seconds is enough; a new phase or state is printed at once. */
const LINE_EVERY_MS = 5_000;
const DEFAULT_COLUMNS = 80;

/**
 * @param out a terminal or anything else.
 * @param lineOf a view as a line, where it is no terminal.
 */
export function screenFor(
  workflowId: string,
  out: NodeJS.WriteStream,
  lineOf: (view: View) => string = renderLine,
): Screen {
  return out.isTTY ? new TerminalScreen(workflowId, out) : new LineScreen(out, lineOf);
}

class TerminalScreen implements Screen {
  readonly #workflowId: string;
  readonly #out: NodeJS.WriteStream;
  readonly #update: ReturnType<typeof createLogUpdate>;

  constructor(workflowId: string, out: NodeJS.WriteStream) {
    this.#workflowId = workflowId;
    this.#out = out;
    this.#update = createLogUpdate(out);
  }

  show(view: View): void {
    // A pseudo-terminal without a size says 0 columns.
    const columns = this.#out.columns > 0 ? this.#out.columns : DEFAULT_COLUMNS;
    this.#update(renderBlock(this.#workflowId, view, columns).join('\n'));
  }

  say(line: string): void {
    this.#update.done();
    this.#out.write(`${line}\n`);
  }

  end(): void {
    this.#update.done();
  }
}

class LineScreen implements Screen {
  readonly #out: NodeJS.WritableStream;
  readonly #lineOf: (view: View) => string;
  #shown: string | undefined;
  #headline: string | undefined;
  #at = -Infinity;

  constructor(out: NodeJS.WritableStream, lineOf: (view: View) => string) {
    this.#out = out;
    this.#lineOf = lineOf;
  }

  show(view: View): void {
    const now = performance.now();
    const title = [headline(view), view.waiting?.reason ?? '', ...view.troubles].join('\n');
    if (title === this.#headline && now - this.#at < LINE_EVERY_MS) return;
    const line = this.#lineOf(view);
    this.#headline = title;
    this.#at = now;
    if (line === this.#shown) return;
    this.#shown = line;
    this.#out.write(`${line}\n`);
  }

  say(line: string): void {
    this.#out.write(`${line}\n`);
  }

  end(): void {
    // Every line is complete already.
  }
}
