// One conversation of the caller's own: the tokens so far and their cache.
import type {Channel} from './channel.ts';
import {objectOf, tokensOf, wholeNumber} from './check.ts';
import {Generation, type GenerateOptions, type PromptProgress} from './generation.ts';
import {prepare, type PromptInput} from './prompt.ts';

export interface EvalOptions {
  signal?: AbortSignal;
  onProgress?: (progress: PromptProgress) => void;
}

/** Calls on one session run one after another, in the order made; those of several sessions share the model's steps. */
export class Session {
  readonly #channel: Channel;
  readonly #id: number;
  readonly #flag: number;
  /** Tokens that it can hold. */
  readonly context: number;
  /** Of its cache, at full context. */
  readonly cacheBytes: number;

  /** @internal */
  constructor(channel: Channel, made: {session: number; context: number; cacheBytes: number; cancelFlag: number}) {
    this.#channel = channel;
    this.#id = made.session;
    this.#flag = made.cancelFlag;
    this.context = made.context;
    this.cacheBytes = made.cacheBytes;
  }

  /** Computes the input after what the session holds; resolves to how many tokens it then holds. */
  async eval(input: PromptInput, options: EvalOptions = {}): Promise<number> {
    const {signal, onProgress} = objectOf('options', options);
    const {prompt, transfer} = await prepare(input, signal);
    const {tokens} = await this.#channel.call('eval', {session: this.#id, prompt, from: 0}, {
      signal, transfer, cancelFlag: this.#flag,
      onEvent: (event) => {
        if (event.type === 'images' || event.type === 'prefill') {
          onProgress?.({phase: event.type, done: event.done, total: event.total});
        }
      },
    });
    return tokens;
  }

  /** Makes the session hold the input, computing only what it does not hold already, and continues it. */
  generate(input: PromptInput, options: GenerateOptions = {}): Generation {
    const prepared = prepare(input, objectOf('options', options).signal);
    // Where the options are refused, nobody hears of the pictures.
    prepared.catch(() => {});
    return new Generation(this.#channel, {id: this.#id, cancelFlag: Promise.resolve(this.#flag)}, prepared, options);
  }

  /** (vocabulary) of the last token evaluated, or null. */
  logits(): Promise<Float32Array | null> {
    return this.#channel.call('sessionLogits', {session: this.#id});
  }

  /** The tokens held, -1 for the rows of pictures. */
  tokens(): Promise<Int32Array> {
    return this.#channel.call('sessionTokens', {session: this.#id});
  }

  /** Forgets all but the first `length` tokens. */
  async truncate(length: number): Promise<void> {
    await this.#channel.call('truncate', {session: this.#id, length: wholeNumber('length', length ?? NaN, 0, 1 << 24, 0)});
  }

  /** Keeps the longest common prefix with `tokens`, short of the last one; resolves to its length. */
  async keepPrefix(tokens: readonly number[] | Int32Array): Promise<number> {
    return this.#channel.call('keepPrefix', {session: this.#id, tokens: tokensOf(tokens)});
  }

  /** Stops what runs on it and gives its memory to the next session. */
  async dispose(): Promise<void> {
    if (!this.#channel.failure) await this.#channel.call('freeSession', {session: this.#id});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
