// Sessions, and the one loop that makes steps for all that generate. Between two steps the worker looks at its messages:
// that is how a request to stop gets through within one token where no memory is shared.
import {ContextFullError, InternalError, NotFoundError, throwIfAborted} from '../errors.ts';
import type {GenerateOptions, GenerateResult, Grammar, Model, Prompt, Session} from '../module/types.ts';
import type {WireGrammar} from '../protocol.ts';
import {translate} from './errors.ts';

// A turn of the worker's own event loop; unlike a timer it has no least delay.
const {port1, port2} = new MessageChannel();
const waiting: (() => void)[] = [];
port1.onmessage = () => waiting.shift()?.();

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(null);
  });
}

export class Sessions {
  readonly #model: Model;
  readonly #held = new Map<number, Session>();
  // One thing at a time for each session, in the order asked.
  readonly #tails = new Map<number, Promise<unknown>>();
  readonly #failures = new Set<(error: unknown) => void>();
  #next = 1;
  #stepping = false;

  constructor(model: Model) {
    this.#model = model;
  }

  create(context: number): {id: number; session: Session} {
    const session = this.#model.createSession(context);
    const id = this.#next++;
    this.#held.set(id, session);
    return {id, session};
  }

  /** Session 0, of the chats, comes into being when it is first wanted. */
  get(id: number): Session {
    const session = this.#held.get(id);
    if (session) return session;
    if (id !== 0) throw new NotFoundError('this session was disposed of');
    const chat = this.#model.createSession(0);
    this.#held.set(0, chat);
    return chat;
  }

  /** Runs `body` when what was asked of this session before is done. */
  async exclusive<T>(id: number, signal: AbortSignal, body: (session: Session) => Promise<T> | T): Promise<T> {
    const before = this.#tails.get(id) ?? Promise.resolve();
    const mine = before.then(async () => {
      throwIfAborted(signal, 'waiting for the session');
      return body(this.get(id));
    });
    const tail = mine.catch(() => {});
    this.#tails.set(id, tail);
    tail.then(() => {
      if (this.#tails.get(id) === tail) this.#tails.delete(id);
    });
    return mine;
  }

  async free(id: number): Promise<void> {
    this.#held.get(id)?.cancel();
    await this.#tails.get(id);
    this.#held.get(id)?.free();
    this.#held.delete(id);
  }

  get use(): {sessions: number; sessionBytes: number} {
    let bytes = 0;
    for (const session of this.#held.values()) bytes += session.cacheBytes;
    return {sessions: this.#held.size, sessionBytes: bytes};
  }

  grammar(wire: WireGrammar | null): Grammar | null {
    if (!wire) return null;
    if (wire.kind === 'gbnf') return this.#model.grammarFromGbnf(wire.text);
    return wire.kind === 'schema' ? this.#model.grammarFromSchema(wire.schema) : this.#model.grammarForJson();
  }

  /** Generates; the answer so far where `signal` says stop. */
  generate(session: Session, prompt: Prompt, options: GenerateOptions, signal: AbortSignal): Promise<GenerateResult> {
    return new Promise((resolve, reject) => {
      const stop = () => session.cancel();
      const end = (settle: () => void) => {
        signal.removeEventListener('abort', stop);
        this.#failures.delete(fail);
        settle();
      };
      const fail = (error: unknown) => end(() => reject(translate(error)));
      session.clearCancel();
      session.start(prompt, options, (result, error) => {
        end(() => result ? resolve(result) : reject(translate(error ?? new InternalError('an answer without a result'))));
      });
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
      this.#failures.add(fail);
      void this.#steps();
    });
  }

  async #steps(): Promise<void> {
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      while (this.#failures.size > 0) {
        this.#model.step();
        await nextTurn();
      }
    } catch (error) {
      for (const fail of [...this.#failures]) fail(error);
    } finally {
      this.#stepping = false;
    }
  }
}

/** Refuses what cannot fit before a session is touched. */
export function checkFits(prompt: Prompt, session: Session): void {
  const {tokens} = prompt.info;
  if (tokens < session.context) return;
  throw new ContextFullError(`the prompt has ${tokens} tokens; the session's context holds ${session.context}, with the ` +
    `answer. Load with a larger \`context\`, or send less`, {tokens, context: session.context});
}
