// A loaded model: one worker with one WebAssembly module.
import {CACHE_MODES, type CacheMode, type LoadProgress, type LogFunction} from '../cache/progress.ts';
import {AbortedError, throwIfAborted} from '../errors.ts';
import type {ModelInfo, Variant, VisionInfo} from '../module/types.ts';
import type {Loaded, LoadTimings, MemoryUse, WireLoad} from '../protocol.ts';
import {Channel, type WorkerHandle} from './channel.ts';
import {Completions} from './chat.ts';
import {checkSignal, objectOf, oneOf, textOf, tokensOf, wholeNumber} from './check.ts';
import {prepare, withoutPixels, type ChatMessage, type PromptInput} from './prompt.ts';
import {Session} from './session.ts';
import {folder, splitSource, toWire, type FileSource, type ModelSource} from './sources.ts';

export interface LoadOptions {
  /** The model's vision file: without it, it reads no pictures. */
  mmproj?: FileSource;
  onProgress?: (progress: LoadProgress) => void;
  /** What the cache and the module have to say. Default: warnings and errors to the console. */
  log?: LogFunction;
  /** Stops the load and ends the worker. */
  signal?: AbortSignal;
  /** Default: one per core, at most 8. More than one needs a cross-origin isolated page; elsewhere it is one. */
  threads?: number;
  /** Default 'auto': relaxed SIMD where it computes right. */
  variant?: 'auto' | Variant;
  /** Longest session, in tokens; its memory is taken whole. Default 2048; 0: the model's own, at most 8192. */
  context?: number;
  /** Tokens computed in one step. Default 128. */
  maxBatch?: number;
  /** Keys and values of sessions. Default 'f16'. */
  cacheType?: 'f16' | 'q8_0';
  /** Default 'default'. Only URLs are cached. */
  cache?: CacheMode;
  /** Tokens and chat templates only: no sessions. */
  vocabOnly?: boolean;
  /** Never ask the engine for more memory than this, in bytes. Default 4 GiB. */
  maxMemory?: number;
  /** Where the package's files are, for bundlers that do not follow new URL(..., import.meta.url): an address that ends
   * with a slash, under which worker.js, thread.js and the modules lie. */
  assets?: string | URL;
}

/** What was loaded, and how it runs. */
export interface MoteInfo {
  version: string;
  model: ModelInfo;
  vision: VisionInfo | null;
  variant: Variant;
  threads: number;
  /** Why there are fewer threads than asked for; empty where there are not. */
  threadsReason: string;
  /** Bytes of the model's file or files. */
  modelBytes: number;
  timings: LoadTimings;
}

export interface TokenizeOptions {
  /** BOS and the like, as the vocabulary asks. Default true. */
  addSpecial?: boolean;
  /** Control tokens written out in the text become those tokens. Default false; never for a user's words. */
  parseSpecial?: boolean;
}

export interface EmbedOptions {
  /** How the states of the tokens become one. Default: as the model's file says, else their mean. */
  pooling?: 'model' | 'mean' | 'first' | 'last';
  /** Scale the vector to a length of 1. Default true. */
  normalize?: boolean;
  signal?: AbortSignal;
}

/** What starts a worker, in a browser or in Node. `assets`: see LoadOptions. */
export interface Platform {
  start(assets: string | null): WorkerHandle;
}

const toConsole: LogFunction = (level, line) => {
  if (level === 'error') console.error(`mote: ${line}`);
  if (level === 'warning') console.warn(`mote: ${line}`);
};

function wireOf(options: LoadOptions, assets: string | null): Omit<WireLoad, 'parts' | 'mmproj'> {
  return {
    cache: oneOf('cache', options.cache, CACHE_MODES, 'default'),
    variant: oneOf('variant', options.variant, ['auto', 'simd128', 'relaxed'], 'auto'),
    cacheType: oneOf('cacheType', options.cacheType, ['f16', 'q8_0'], 'f16'),
    vocabOnly: options.vocabOnly ?? false,
    threads: wholeNumber('threads', options.threads, 0, 64, 0),
    context: wholeNumber('context', options.context, 0, 1 << 24, 2048),
    maxBatch: wholeNumber('maxBatch', options.maxBatch, 1, 8192, 128),
    maxMemory: wholeNumber('maxMemory', options.maxMemory, 0, 2 ** 32, 0),
    wasm: assets === null ? {} : {simd128: `${assets}mote.wasm`, relaxed: `${assets}mote-relaxed.wasm`},
  };
}

/** Starts a worker and loads into it. */
export async function load(platform: Platform, source: ModelSource,
                           options: LoadOptions): Promise<{channel: Channel; loaded: Loaded}> {
  const {signal, onProgress} = objectOf('options', options);
  checkSignal(signal);
  throwIfAborted(signal, 'load');
  const assets = options.assets === undefined ? null : folder('assets', options.assets).href;
  const wire = wireOf(options, assets);
  const files = splitSource(source, options.mmproj);
  const channel = new Channel(platform.start(assets), options.log ?? toConsole);
  // Ends the worker with all that it has begun; what is in the cache by then is taken up by the next load.
  const stop = () => channel.fail(new AbortedError('load: stopped by the caller\'s AbortSignal', {}, signal!.reason));
  signal?.addEventListener('abort', stop);
  try {
    await channel.started();
    const parts = files.parts.map((part) => toWire(part, channel));
    const mmproj = files.mmproj === null ? null : toWire(files.mmproj, channel);
    const loaded = await channel.call('load', {...wire, parts, mmproj}, {
      onEvent: (event) => { if (event.type === 'load') onProgress?.(event.progress); },
    });
    channel.stopper = loaded.stop;
    return {channel, loaded};
  } catch (error) {
    await channel.close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** The part of Mote that browsers and Node share. */
export class LoadedModel {
  readonly #channel: Channel;
  readonly info: MoteInfo;
  readonly chat: {readonly completions: Completions};

  // Made by load() alone.
  protected constructor({channel, loaded}: {channel: Channel; loaded: Loaded}) {
    const {stop: _, ...info} = loaded;
    this.#channel = channel;
    this.info = info;
    this.chat = {completions: new Completions(channel, info.model.name || info.model.architecture)};
  }

  async tokenize(text: string, options: TokenizeOptions = {}): Promise<Int32Array> {
    const {addSpecial = true, parseSpecial = false} = objectOf('options', options);
    return this.#channel.call('tokenize', {text: textOf('text', text), addSpecial, parseSpecial});
  }

  /** Bytes that are no character (a part of one) become U+FFFD. */
  async detokenize(tokens: readonly number[] | Int32Array, options: {showSpecial?: boolean} = {}): Promise<string> {
    return this.#channel.call('detokenize', {tokens: tokensOf(tokens), showSpecial: options.showSpecial ?? false});
  }

  /** Messages to the text that the model's template makes of them, with IMAGE_MARK where pictures stand; for people. */
  async renderChat(messages: readonly ChatMessage[]): Promise<string> {
    return this.#channel.call('renderChat', {messages: withoutPixels(messages), extra: null});
  }

  /** What the input means, as one vector of info.model.width values, of length 1 unless `normalize` is false. */
  async embed(input: PromptInput, options: EmbedOptions = {}): Promise<Float32Array> {
    const {normalize = true, signal} = objectOf('options', options);
    const pooling = oneOf('pooling', options.pooling, ['model', 'mean', 'first', 'last'], 'model');
    const {prompt, transfer} = await prepare(input, signal);
    return this.#channel.call('embed', {prompt, pooling, normalize}, {signal, transfer});
  }

  /** (vocabulary) logits of what follows the input; with `all`, (tokens, vocabulary) of what follows each of its tokens. */
  async logits(input: PromptInput, options: {all?: boolean; signal?: AbortSignal} = {}): Promise<Float32Array> {
    const {all = false, signal} = objectOf('options', options);
    const {prompt, transfer} = await prepare(input, signal);
    return this.#channel.call('logits', {prompt, all}, {signal, transfer});
  }

  /** `context`: tokens that it can hold, at most the model's; 0: as many. */
  async createSession(options: {context?: number} = {}): Promise<Session> {
    const context = wholeNumber('context', options.context, 0, 1 << 24, 0);
    return new Session(this.#channel, await this.#channel.call('createSession', {context}));
  }

  memory(): Promise<MemoryUse> {
    return this.#channel.call('memory', {});
  }

  /** Stops everything, ends the worker and gives all memory back. */
  dispose(): Promise<void> {
    return this.#channel.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
