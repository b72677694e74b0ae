// Calls into the module: arguments, errors, callbacks, traps.
import {ModuleError} from './errors.ts';
import {type Call, type Exports, ModuleMemory, Scope} from './memory.ts';
import type {FinishReason, GenerateResult, LogLevel, StatusName} from './types.ts';

// mote_status, in its order.
const kStatusNames: readonly (StatusName | 'ok')[] = [
  'ok', 'invalid_argument', 'malformed', 'unsupported', 'not_found', 'out_of_memory', 'context_full', 'cancelled', 'io',
  'internal',
];
const kLogLevels: readonly LogLevel[] = ['debug', 'info', 'warning', 'error'];
const kFinishReasons: readonly FinishReason[] = ['stop', 'length', 'cancelled'];
const kErrorBytes = 1024;  // mote_error, whose layout is final: a code, then the message

// What the functions of one call or generation are. They may throw: the module is told to stop, and the call throws it.
export interface Listener {
  loadProgress?: (done: number, total: number) => void;
  imageProgress?: (done: number, total: number) => boolean | void;
  logits?: (index: number, logits: Float32Array) => boolean | void;
  progress?: (done: number, total: number) => void;
  text?: (text: string, token: number) => boolean | void;
  token?: (info: {token: number, logprob: number, top: {token: number, logprob: number}[]}) => boolean | void;
  done?: (result: GenerateResult | null, error: ModuleError | null) => void;
  vocabSize?: number;  // logits has so many
}
// The same as pointers to functions, in the order of Callbacks in targets/wasm/module/module.cc.
const kCallbackNames = ['log', 'loadProgress', 'imageProgress', 'logits', 'progress', 'text', 'token', 'done'] as const;
type CallbackName = typeof kCallbackNames[number];

// Something that free() ends, and that ends with its owner.
export interface Freeable {
  free(): void;
}

export class Runtime {
  readonly memory: ModuleMemory;
  readonly callbacks: Record<CallbackName, number>;
  readonly #exports: Exports;
  readonly #listeners = new Map<number, Listener>();
  readonly #log: (level: LogLevel, line: string) => void;
  #nextListener = 1;
  #thrown: {error: unknown} | null = null;
  #depth = 0;
  #scratch: number;
  #top: number;
  #ended: ModuleError | null = null;

  constructor(memory: WebAssembly.Memory, exports: Exports, log: (level: LogLevel, line: string) => void) {
    this.#exports = exports;
    this.#log = log;
    this.memory = new ModuleMemory(memory, exports);
    this.#scratch = this.memory.allocate(Scope.blockBytes, 'arguments of calls');
    this.#top = this.#scratch;
    const table = exports['mote_web_callbacks']!() >>> 0;
    this.callbacks = Object.fromEntries(
        kCallbackNames.map((name, i) => [name, this.memory.pointer(table + i * 4)])) as Record<CallbackName, number>;
  }

  // The imports named "mote": the functions that callbacks point to. Made before there is a runtime, hence the getter.
  static imports(runtime: () => Runtime): Record<string, (...values: never[]) => unknown> {
    const of = (user: number): Listener => runtime().#listeners.get(user) ?? {};
    const stop = (act: () => boolean | void): number => runtime().#guard(act) ? 1 : 0;
    return {
      log: (_user: number, level: number, line: number) =>
          void stop(() => runtime().#log(kLogLevels[level] ?? 'error', runtime().memory.string(line >>> 0) ?? '')),
      load_progress: (user: number, done: bigint, total: bigint) =>
          void stop(() => of(user).loadProgress?.(Number(done), Number(total))),
      image_progress: (user: number, done: number, total: number) => stop(() => of(user).imageProgress?.(done, total)),
      logits: (user: number, index: number, values: number) => stop(() => {
        const {logits, vocabSize} = of(user);
        return logits?.(index, runtime().memory.copyFloat32(values >>> 0, vocabSize ?? 0));
      }),
      progress: (user: number, done: number, total: number) => void stop(() => of(user).progress?.(done, total)),
      text: (user: number, address: number, size: number, token: number) =>
          stop(() => of(user).text?.(runtime().memory.text(address >>> 0, size), token)),
      token: (user: number, info: number) => stop(() => of(user).token?.(runtime().#readToken(info >>> 0))),
      done: (user: number, status: number, result: number, message: number) => void stop(() => {
        const {done} = of(user);
        runtime().unlisten(user);
        done?.(result === 0 ? null : runtime().readResult(result >>> 0),
               status === 0 ? null : runtime().error(status, runtime().memory.string(message >>> 0) ?? ''));
      }),
    };
  }

  listen(listener: Listener): number {
    const user = this.#nextListener++;
    this.#listeners.set(user, listener);
    return user;
  }
  unlisten(user: number): void {
    this.#listeners.delete(user);
  }

  // Runs `act` with scratch for arguments, and throws what a callback threw meanwhile.
  scoped<T>(act: (scope: Scope) => T): T {
    this.check();
    const scope = new Scope(this.memory, this.#exports, this.#top, this.#scratch + Scope.blockBytes);
    const before = this.#top;
    ++this.#depth;
    try {
      return act(scope);
    } finally {
      --this.#depth;
      this.#top = before;
      if (this.#ended === null) scope.release();
    }
  }

  // Calls a function that returns a value. `scope`: whose arguments must stay as they are while callbacks call back.
  call(scope: Scope | null, name: string, ...values: (number | bigint)[]): number {
    this.check();
    const before = this.#top;
    if (scope !== null) this.#top = scope.top;
    let result;
    try {
      result = (this.#exports[name] as Call)(...values);
    } catch (error) {
      // A trap leaves locks held and structures half written: there is no way back.
      this.#ended = new ModuleError('crashed', `the module has crashed in ${name}: ${String(error)}`, {cause: error});
      throw this.#ended;
    } finally {
      this.#top = before;
    }
    if (this.#thrown !== null && this.#depth <= 1) {
      const {error} = this.#thrown;
      this.#thrown = null;
      throw error;
    }
    return result;
  }

  // Calls a function that returns a mote_status and takes a mote_error last.
  request(scope: Scope, name: string, ...values: (number | bigint)[]): void {
    const report = scope.zeroed(kErrorBytes);
    const status = this.call(scope, name, ...values, report);
    if (status !== 0) throw this.error(status, this.memory.string(report + 4) ?? '');
  }

  // The two calls of a function that fills a buffer: how much, then all of it.
  fill(scope: Scope, unit: number, name: string, ...values: (number | bigint)[]): {address: number, count: number} {
    const count = scope.zeroed(4);
    this.request(scope, name, ...values, 0, 0, count);
    const needed = this.memory.pointer(count);
    const address = scope.take(Math.max(needed * unit, 1));
    this.request(scope, name, ...values, address, needed, count);
    return {address, count: needed};
  }

  error(status: number, message: string): ModuleError {
    return new ModuleError((kStatusNames[status] ?? 'internal') as StatusName, message);
  }

  // All fields of an info struct; strings for those named.
  readInfo(address: number, type: string, numbers: readonly string[], strings: readonly string[]):
      Record<string, number | string | null> {
    const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    const info: Record<string, number | string | null> = {};
    for (const field of numbers) info[camel(field)] = this.memory.get(type, address, field);
    for (const field of strings) info[camel(field)] = this.memory.string(this.memory.get(type, address, field));
    return info;
  }

  readResult(address: number): GenerateResult {
    const get = (field: string): number => this.memory.get('mote_generate_result', address, field);
    return {
      text: this.memory.text(get('text'), get('text_size')),
      tokens: this.memory.copyInt32(get('tokens'), get('token_count')),
      finishReason: kFinishReasons[get('finish_reason')]!,
      promptTokens: get('prompt_tokens'),
      cachedTokens: get('cached_tokens'),
      prefillSeconds: get('prefill_seconds'),
      decodeSeconds: get('decode_seconds'),
    };
  }

  // Nothing works after this.
  end(): void {
    this.#ended ??= new ModuleError('disposed', 'the module was disposed of');
  }
  get ended(): boolean {
    return this.#ended !== null;
  }
  check(): void {
    if (this.#ended !== null) throw this.#ended;
  }

  #readToken(address: number): {token: number, logprob: number, top: {token: number, logprob: number}[]} {
    const get = (field: string): number => this.memory.get('mote_token_info', address, field);
    const first = get('top'), size = this.memory.sizeOf('mote_token_prob');
    const top = Array.from({length: get('top_count')}, (_, i) => ({
      token: this.memory.get('mote_token_prob', first + i * size, 'token'),
      logprob: this.memory.get('mote_token_prob', first + i * size, 'logprob'),
    }));
    return {token: get('token'), logprob: get('logprob'), top};
  }

  // An exception must not pass through the module.
  #guard(act: () => boolean | void): boolean {
    if (this.#thrown !== null) return true;
    try {
      return act() === true;
    } catch (error) {
      this.#thrown = {error};
      return true;
    }
  }
}
