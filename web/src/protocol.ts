// What the page and its worker say to each other.
import type {CacheMode, LoadProgress, LogLevel} from './cache/progress.ts';
import type {ErrorRecord} from './errors.ts';
import type {ChatMessage, ModelInfo, TokenInfo, Variant, VisionInfo} from './module/types.ts';

/** One file, as the worker gets at it. `feed`: the page sends it in pieces, when asked (`pull`). */
export type WireSource =
  | {kind: 'url'; url: string; sha256: string | null; headers: Record<string, string>}
  | {kind: 'blob'; blob: Blob; name: string}
  | {kind: 'path'; path: string}
  | {kind: 'feed'; feed: number; size: number; name: string};

export interface WireLoad {
  parts: WireSource[];
  mmproj: WireSource | null;
  cache: CacheMode;
  threads: number;
  variant: 'auto' | Variant;
  wasm: Partial<Record<Variant, string | ArrayBuffer>>;
  maxMemory: number;
  context: number;
  maxBatch: number;
  cacheType: 'f16' | 'q8_0';
  vocabOnly: boolean;
}

export interface Loaded {
  version: string;
  model: ModelInfo;
  vision: VisionInfo | null;
  variant: Variant;
  threads: number;
  threadsReason: string;
  /** Of the file or files, without the vision file. */
  modelBytes: number;
  timings: LoadTimings;
  /** Takes a StopRequest while the worker computes; null without shared memory. */
  stop: MessagePort | null;
}

/** Milliseconds. */
export interface LoadTimings {
  /** Until the WebAssembly module ran. */
  module_ms: number;
  /** Until all bytes were in its memory; the module is made ready meanwhile. */
  read_ms: number;
  prepare_ms: number;
  total_ms: number;
}

/** A picture on its way: what a worker can turn into pixels, or pixels (RGBA, or RGB with 3 channels). */
export type WireImage =
  | {kind: 'bitmap'; bitmap: ImageBitmap}
  | {kind: 'frame'; frame: VideoFrame}
  | {kind: 'blob'; blob: Blob}
  | {kind: 'pixels'; data: Uint8Array | Uint8ClampedArray; width: number; height: number; channels: 3 | 4};

export type WirePrompt =
  | {kind: 'tokens'; tokens: number[] | Int32Array}
  | {kind: 'text'; text: string; images: WireImage[]; addSpecial: boolean; parseSpecial: boolean}
  | {kind: 'chat'; messages: ChatMessage[]; images: WireImage[]; extra: Record<string, unknown> | null};

export type WireGrammar = {kind: 'gbnf'; text: string} | {kind: 'schema'; schema: unknown} | {kind: 'json'};

export interface WireGenerate {
  maxTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repeatPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  penaltyWindow: number;
  seed: number;
  logitBias: [number, number][];
  stop: string[];
  ignoreEos: boolean;
  /** -1: none. */
  topLogprobs: number;
  grammar: WireGrammar | null;
}

/** Names and milliseconds as `mote serve` has them. */
export interface Timings {
  /** Before the worker could begin with it: other work, and the picture's way to pixels. */
  queued_ms: number;
  images_ms: number;
  prompt_n: number;
  prompt_ms: number;
  prompt_per_second: number;
  predicted_n: number;
  predicted_ms: number;
  predicted_per_second: number;
  first_token_ms: number;
  total_ms: number;
}

export interface Generated {
  text: string;
  tokens: Int32Array;
  finishReason: 'stop' | 'length' | 'cancelled';
  promptTokens: number;
  cachedTokens: number;
  imageTokens: number;
  timings: Timings;
}

/** What a request tells before its end. */
export type Event =
  | {type: 'load'; progress: LoadProgress}
  /** Where the flag lies that stops this request, for those whose session the worker has made itself. */
  | {type: 'flag'; cancelFlag: number}
  | {type: 'images'; done: number; total: number}
  | {type: 'prefill'; done: number; total: number}
  | {type: 'token'; info: TokenInfo}
  | {type: 'text'; text: string; token: number};

export interface MemoryUse {
  /** Of the WebAssembly memory, which never shrinks before dispose(). */
  moduleBytes: number;
  sessions: number;
  sessionBytes: number;
}

/** Method: [arguments, result]. */
export interface Methods {
  load: [WireLoad, Loaded];
  tokenize: [{text: string; addSpecial: boolean; parseSpecial: boolean}, Int32Array];
  detokenize: [{tokens: number[] | Int32Array; showSpecial: boolean}, string];
  renderChat: [{messages: ChatMessage[]; extra: Record<string, unknown> | null}, string];
  embed: [{prompt: WirePrompt; pooling: 'model' | 'mean' | 'first' | 'last'; normalize: boolean}, Float32Array];
  logits: [{prompt: WirePrompt; all: boolean}, Float32Array];
  createSession: [{context: number}, {session: number; context: number; cacheBytes: number; cancelFlag: number}];
  freeSession: [{session: number}, null];
  eval: [{session: number; prompt: WirePrompt; from: number}, {tokens: number}];
  sessionLogits: [{session: number}, Float32Array | null];
  sessionTokens: [{session: number}, Int32Array];
  truncate: [{session: number; length: number}, null];
  keepPrefix: [{session: number; tokens: number[] | Int32Array}, number];
  /** Session 0: the one of the chats. */
  generate: [{session: number; prompt: WirePrompt; options: WireGenerate}, Generated];
  chatSession: [Record<string, never>, {cancelFlag: number}];
  memory: [Record<string, never>, MemoryUse];
  close: [Record<string, never>, null];
}
export type Method = keyof Methods;

export type ToWorker =
  | {[M in Method]: {id: number; method: M; args: Methods[M][0]}}[Method]
  | {abort: number}
  | {feed: number; bytes: Uint8Array | null; error: string | null};

export type FromWorker =
  | {ready: true}
  | {id: number; event: Event}
  | {id: number; result: unknown}
  | {id: number; error: ErrorRecord}
  | {pull: number}
  | {log: LogLevel; line: string};

/** One end of the channel, in a browser or in Node. */
export interface Port {
  post(message: FromWorker, transfer?: Transferable[]): void;
  onMessage(listener: (message: ToWorker) => void): void;
}
