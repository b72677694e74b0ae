// What the runtime of the WebAssembly module offers. Everything here is synchronous but createModule: call it from a
// Worker (or from Node), never from a page's main thread, which may not wait.
//
// Handles (Module, Model, Session, Prompt, Grammar, Allocation) hold memory of the module: free() gives it back, once;
// freeing a model frees what was made from it. Everything that a call returns is a copy and stays valid.

export type Variant = 'simd128' | 'relaxed';

// The codes of engine/api/mote.h, by name; beside them what can go wrong before there is a module:
// 'no_simd': the engine has no 128-bit SIMD; 'no_module': the .wasm could not be fetched, compiled or started (the cause
// is in `cause`); 'crashed': a trap in the module, which is of no use afterwards; 'disposed': used after its end.
export type StatusName = 'invalid_argument' | 'malformed' | 'unsupported' | 'not_found' | 'out_of_memory' |
    'context_full' | 'cancelled' | 'io' | 'internal' | 'no_simd' | 'no_module' | 'crashed' | 'disposed';

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

// Where a module comes from: an address, its bytes, or what was compiled before (which cannot be patched: see
// ModuleInfo.shared).
export type WasmSource = string | URL | ArrayBuffer | Uint8Array;

// A helper thread as the runtime needs it: a browser's Worker or one of node:worker_threads that runs thread.ts.
export interface ThreadHandle {
  postMessage(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  onError(listener: (error: unknown) => void): void;
  terminate(): void;
}

export interface ModuleOptions {
  // With the calling one. 0: as many as there are cores, at most 8 (an engine that hides them: 4). More than 1 needs
  // shared memory (in browsers: a cross-origin isolated page); without it there is one, and Module.threadsReason says
  // why. Default 0.
  threads?: number;
  // 'auto': relaxed where it was probed to compute right, else simd128. Default 'auto'.
  variant?: 'auto' | Variant;
  // Default: mote.wasm and mote-relaxed.wasm beside this file, by new URL(..., import.meta.url).
  wasm?: Partial<Record<Variant, WasmSource>>;
  // Starts one helper. Default: a module Worker of thread.js beside this file.
  createThread?: () => ThreadHandle;
  // Never ask the engine for more than this, in bytes. Default 4 GiB; what cannot be reserved is halved until it can.
  maxMemory?: number;
  // false: plain memory and one thread, even where it could be shared. Default true.
  shared?: boolean;
  log?: (level: LogLevel, line: string) => void;
  signal?: AbortSignal;
}

export interface Module {
  readonly version: string;
  readonly variant: Variant;
  readonly threads: number;
  // Why there are fewer threads than asked for; empty where there are not.
  readonly threadsReason: string;
  // Whether the memory is a SharedArrayBuffer: then flags in it can be set from other threads (Session.cancelFlag).
  readonly shared: boolean;
  readonly memory: WebAssembly.Memory;
  readonly memoryBytes: number;  // of the module's memory, which grows and never shrinks
  // `size` bytes to write a file into. OUT_OF_MEMORY where there are none.
  allocate(size: number): Allocation;
  // Loads a GGUF file (one part) that was written into `file`; the allocation is the model's from here on, also where
  // loading fails. The weights are packed where they lie: no second copy of them is made.
  loadModel(file: Allocation, options?: LoadOptions): Model;
  // Ends the helpers and lets go of the memory.
  dispose(): void;
}

export interface Allocation {
  readonly size: number;
  write(offset: number, bytes: Uint8Array): void;
  // Valid until the next call of the module, which may move the memory. Over shared memory some browser functions refuse
  // it (TextDecoder, crypto.subtle): copy first.
  bytes(offset?: number, length?: number): Uint8Array;
  free(): void;
}

export interface LoadOptions {
  context?: number;      // longest session in tokens; 0: the model's own, at most 8192. The default is 2048
  maxBatch?: number;     // tokens computed in one step; scratch memory grows with it. The default is 128
  vocabOnly?: boolean;   // tokens and chats only
  memoryLimit?: number;  // bytes; 0: none
  cacheType?: 'f16' | 'q8_0';
  isa?: string;          // 'scalar' for the reference kernels
  onProgress?: (done: number, total: number) => void;
}

export interface ModelInfo {
  architecture: string;
  name: string;
  backend: string;  // for people: "cpu (wasm_relaxed, 2 threads)"
  weightType: string;
  chatTemplate: string | null;
  templateError: string | null;
  vocabSize: number;
  context: number;
  contextTrain: number;
  layers: number;
  width: number;
  threads: number;
  bosToken: number;  // -1: none
  eosToken: number;
  weightBytes: number;
  scratchBytes: number;
  cacheBytes: number;
}

export interface VisionInfo {
  projector: string;
  name: string;
  imageSize: number;
  patchSize: number;
  width: number;
  layers: number;
  heads: number;
  rowsPerView: number;
  anySize: boolean;
  maxRows: number;
  weightBytes: number;
  scratchBytes: number;
}

export interface VisionOptions {
  cacheBytes?: number;  // of images already read; default 32 MiB
  maxTokens?: number;
  onProgress?: (done: number, total: number) => void;
}

export interface ChatMessage {
  role: string;
  content: string;
  extra?: Record<string, unknown>;  // tool_calls, name, ...
}

export interface ChatOptions {
  noGenerationPrompt?: boolean;
  tools?: unknown[];
  extra?: Record<string, unknown>;  // of the template: enable_thinking, ...
}

// 8 bits a channel, rows from top to bottom without gaps. ImageData is one.
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels?: 3 | 4;  // default 4: RGBA, laid over white
}

export interface PromptOptions {
  session?: Session;  // whose cancel() stops the reading of images as well
  onProgress?: (done: number, total: number) => boolean | void;  // views read; true: stop
}

export interface PromptInfo {
  tokens: number;
  images: number;
  imagesKnown: number;
  imageRows: number;
  views: number;
  preprocessSeconds: number;
  encodeSeconds: number;
}

interface SamplingOptions {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repeatPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  penaltyWindow?: number;
  seed?: number | bigint;
  logitBias?: ReadonlyArray<readonly [token: number, bias: number]>;  // -Infinity forbids
}

export interface TokenInfo {
  token: number;
  logprob: number;
  top: {token: number, logprob: number}[];
}

export interface GenerateOptions extends SamplingOptions {
  maxTokens?: number;  // -1: until the context is full (default)
  ignoreEos?: boolean;
  stop?: string[];
  topLogprobs?: number;  // needs onToken
  grammar?: Grammar;
  grammarTrigger?: string;
  // New text, whole characters. true: stop. `token` is the newest one.
  onText?: (text: string, token: number) => boolean | void;
  onToken?: (info: TokenInfo) => boolean | void;
  onProgress?: (done: number, total: number) => void;  // of the prompt
}

export type FinishReason = 'stop' | 'length' | 'cancelled';

export interface GenerateResult {
  text: string;
  tokens: Int32Array;
  finishReason: FinishReason;
  promptTokens: number;
  cachedTokens: number;
  prefillSeconds: number;
  decodeSeconds: number;
}

export interface StepReport {
  running: number;
  decodeRows: number;
  prefillRows: number;
}

export interface Model {
  readonly info: ModelInfo;
  readonly vision: VisionInfo | null;
  loadVision(file: Allocation, options?: VisionOptions): void;
  tokenize(text: string, options?: {addSpecial?: boolean, parseSpecial?: boolean}): Int32Array;
  // Bytes, since tokens may end inside a character.
  detokenize(tokens: ArrayLike<number>, options?: {showSpecial?: boolean}): Uint8Array;
  tokenText(token: number, options?: {showSpecial?: boolean}): Uint8Array;
  tokenIsEnd(token: number): boolean;
  tokenIsControl(token: number): boolean;
  findToken(text: string): number;  // -1: none
  renderChat(messages: readonly ChatMessage[], options?: ChatOptions): string;
  tokenizeChat(messages: readonly ChatMessage[], options?: ChatOptions): Int32Array;
  promptFromTokens(tokens: ArrayLike<number>): Prompt;
  // '<__media__>' marks where each image stands.
  promptFromText(text: string, images?: readonly Pixels[],
                 options?: PromptOptions & {addSpecial?: boolean, parseSpecial?: boolean}): Prompt;
  promptFromChat(messages: readonly ChatMessage[], images?: readonly Pixels[],
                 options?: PromptOptions & ChatOptions): Prompt;
  createSession(context?: number): Session;
  grammarFromGbnf(gbnf: string): Grammar;
  grammarFromSchema(schema: unknown): Grammar;
  grammarForJson(): Grammar;
  // One step for all generations that were started. Between two steps the caller may look at its messages, which is how
  // a Worker can be told to stop without shared memory.
  step(options?: {maxPrefill?: number}): StepReport;
  free(): void;
}

export interface Prompt {
  readonly info: PromptInfo;
  readonly tokens: Int32Array;  // -1 for rows of images
  imageRows(index: number): number;
  free(): void;
}

export interface Grammar {
  free(): void;
}

export interface Session {
  readonly context: number;
  readonly cacheBytes: number;
  readonly tokens: Int32Array;
  // Of the last token that eval() computed, or null.
  logits(): Float32Array | null;
  truncate(length: number): void;
  keepPrefix(prompt: Prompt | ArrayLike<number>): number;
  copyPrefix(source: Session, length: number): number;
  // Computes tokens after those held. onLogits: the logits of every token. true: stop.
  eval(tokens: ArrayLike<number>,
       options?: {onLogits?: (index: number, logits: Float32Array) => boolean | void,
                  onProgress?: (done: number, total: number) => void}): void;
  evalPrompt(prompt: Prompt, from?: number,
             options?: {onProgress?: (done: number, total: number) => void}): void;
  // Blocks until the answer is complete.
  generate(prompt: Prompt | ArrayLike<number>, options?: GenerateOptions): GenerateResult;
  // Begins; Model.step() goes on. `done` gets the result or a ModuleError, from step().
  start(prompt: Prompt | ArrayLike<number>, options: GenerateOptions,
        done: (result: GenerateResult | null, error: Error | null) => void): void;
  embed(prompt: Prompt | ArrayLike<number>,
        options?: {pooling?: 'model' | 'mean' | 'first' | 'last', normalize?: boolean}): Float32Array;
  // Stops what runs on this session, or the next that will. From a callback, between steps; from another thread by
  // writing 1 to the byte at cancelFlag of the shared memory: Atomics.store(new Uint8Array(memory.buffer), flag, 1).
  cancel(): void;
  clearCancel(): void;
  readonly cancelFlag: number;
  free(): void;
}
