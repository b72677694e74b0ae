// Options of a generation, checked, and an answer that can be awaited or read as it comes.
import {AbortedError, InvalidArgumentError} from '../errors.ts';
import type {TokenInfo} from '../module/types.ts';
import type {Event, Generated, WireGenerate, WireGrammar, WirePrompt} from '../protocol.ts';
import type {Channel} from './channel.ts';
import {checkSignal, jsonOf, listOf, objectOf, shown, textOf} from './check.ts';

/** Numbers left out are the engine's: temperature 0.8, topK 40, topP 0.95, minP 0.05, no penalties. */
export interface GenerateOptions {
  /** Tokens; default: until the context is full. */
  maxTokens?: number;
  /** 0: always the likeliest token. */
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repeatPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  /** Last tokens that the penalties look at; -1: all. */
  penaltyWindow?: number;
  /** Same seed, same answer. Default: another one each time. */
  seed?: number;
  /** By id of the token; -Infinity forbids it. */
  logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** The answer ends before any of these; up to 16. */
  stop?: string | readonly string[];
  ignoreEos?: boolean;
  /** Tells each token, with so many alternatives. */
  topLogprobs?: number;
  onToken?: (token: TokenInfo) => void;
  /** The text is one of a grammar's (GBNF), or a JSON value of a schema, or any JSON object. */
  grammar?: string;
  jsonSchema?: unknown;
  json?: boolean;
  signal?: AbortSignal;
  /** Views of pictures read, and tokens of the prompt computed. */
  onProgress?: (progress: PromptProgress) => void;
}

export interface PromptProgress {
  phase: 'images' | 'prefill';
  done: number;
  total: number;
}

function grammarOf({grammar, jsonSchema, json}: GenerateOptions): WireGrammar | null {
  if (grammar !== undefined) return {kind: 'gbnf', text: textOf('grammar', grammar)};
  if (jsonSchema !== undefined) return {kind: 'schema', schema: jsonOf('the JSON schema', jsonSchema)};
  return json ? {kind: 'json'} : null;
}

function biasOf(bias: GenerateOptions['logitBias']): [number, number][] {
  if (!bias) return [];
  const pairs = bias instanceof Map ? [...bias] : Object.entries(bias).map(([id, value]) => [Number(id), value] as const);
  return pairs.map(([id, value]) => {
    if (Number.isInteger(id) && typeof value === 'number' && !Number.isNaN(value)) return [id, value];
    throw new InvalidArgumentError(`logitBias: ids of tokens to numbers, not ${id}: ${value}`);
  });
}

// 32 bits are as many different answers as anybody looks at, and exact in a double.
function anySeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

const NUMBERS = [
  'maxTokens', 'temperature', 'topK', 'topP', 'minP', 'repeatPenalty', 'presencePenalty', 'frequencyPenalty', 'penaltyWindow',
  'topLogprobs',
] as const;

export function toWire(options: GenerateOptions): WireGenerate {
  const {seed, stop} = objectOf('options', options);
  if (seed !== undefined && !Number.isSafeInteger(seed)) throw new InvalidArgumentError(`seed must be a whole number, not ${shown(seed)}`);
  for (const name of NUMBERS) {
    const value = options[name];
    if (value !== undefined && typeof value !== 'number') throw new InvalidArgumentError(`${name} must be a number, not ${shown(value)}`);
  }
  const stops = typeof stop === 'string' ? [stop] : listOf('stop', stop);
  if (!stops.every((text) => typeof text === 'string')) throw new InvalidArgumentError('stop must be a string or a list of strings');
  return {
    maxTokens: options.maxTokens ?? -1, temperature: options.temperature ?? 0.8, topK: options.topK ?? 40,
    topP: options.topP ?? 0.95, minP: options.minP ?? 0.05, repeatPenalty: options.repeatPenalty ?? 1,
    presencePenalty: options.presencePenalty ?? 0, frequencyPenalty: options.frequencyPenalty ?? 0,
    penaltyWindow: options.penaltyWindow ?? 64, seed: seed ?? anySeed(), logitBias: biasOf(options.logitBias),
    stop: [...stops], ignoreEos: options.ignoreEos ?? false,
    topLogprobs: options.topLogprobs ?? (options.onToken ? 0 : -1), grammar: grammarOf(options),
  };
}

/** New text, whole characters; `token`: the newest one (text may lag behind). */
export interface TextPiece {
  text: string;
  token: number;
  /** Of the tokens since the last piece, where they were asked for. */
  tokens: TokenInfo[];
}

export type GenerateResult = Generated;

export interface Prepared {
  prompt: WirePrompt;
  transfer: Transferable[];
}

/** An answer under way. Read it with `for await`, or await `result`; leaving the loop early stops it. */
export class Generation implements AsyncIterable<TextPiece> {
  /** The whole of it. Rejects with AbortedError where it was stopped. */
  readonly result: Promise<GenerateResult>;
  readonly #pieces: TextPiece[] = [];
  readonly #stop = new AbortController();
  #tokens: TokenInfo[] = [];
  #wake: (() => void) | null = null;
  #ended = false;

  /** @internal */
  constructor(channel: Channel, session: {id: number; cancelFlag: Promise<number>}, prepared: Promise<Prepared>,
              options: GenerateOptions) {
    const wire = toWire(options);
    checkSignal(options.signal);
    const signal = options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal;
    const run = async () => {
      const {prompt, transfer} = await prepared;
      const cancelFlag = await session.cancelFlag;
      const result = await channel.call('generate', {session: session.id, prompt, options: wire}, {
        signal, transfer, cancelFlag, onEvent: (event) => this.#take(event, options),
      });
      if (result.finishReason === 'cancelled') {
        throw new AbortedError('the answer was stopped by the caller', {tokens: result.tokens.length}, signal.reason);
      }
      return result;
    };
    this.result = run().finally(() => {
      this.#ended = true;
      this.#wake?.();
    });
    // Whoever only iterates hears of it there.
    this.result.catch(() => {});
  }

  #take(event: Event, options: GenerateOptions): void {
    if (event.type === 'token') {
      this.#tokens.push(event.info);
      options.onToken?.(event.info);
    } else if (event.type === 'text') {
      this.#pieces.push({text: event.text, token: event.token, tokens: this.#tokens});
      this.#tokens = [];
      this.#wake?.();
    } else if (event.type === 'images' || event.type === 'prefill') {
      options.onProgress?.({phase: event.type, done: event.done, total: event.total});
    }
  }

  /** @internal Its end, where it has not ended. */
  stop(): void {
    if (!this.#ended) this.#stop.abort();
  }

  async * #read(): AsyncGenerator<TextPiece, void, undefined> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece) {
        yield piece;
      } else if (this.#ended) {
        await this.result;
        return;
      } else {
        await new Promise<void>((resolve) => { this.#wake = resolve; });
      }
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<TextPiece, void, undefined> {
    return stoppedWith(this.#read(), this);
  }
}

/** `inner`, whose end before its time stops the answer. A generator's own `finally` does not run where nobody has asked
 * for its first value yet. */
export function stoppedWith<T>(inner: AsyncGenerator<T, void, undefined>, generation: Generation): AsyncGenerator<T, void, undefined> {
  return {
    next: () => inner.next(),
    return: (value) => {
      generation.stop();
      return inner.return(value);
    },
    throw: (error) => {
      generation.stop();
      return inner.throw(error);
    },
    [Symbol.asyncIterator]() { return this; },
    async [Symbol.asyncDispose]() { await this.return(); },
  };
}
