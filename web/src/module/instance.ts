// A module with its memory and its helper threads.
import {mayShare, mayWait, nodeFiles, nodeThreads, processors} from './environment.ts';
import {ModuleError} from './errors.ts';
import type {Exports} from './memory.ts';
import {findMemoryImport, type MemoryImport, withPlainMemory} from './memory_import.ts';
import {probe} from './probe.ts';
import {Runtime} from './runtime.ts';
import type {ThreadAnswer, ThreadStart} from './thread_main.ts';
import type {ModuleOptions, ThreadHandle, Variant, WasmSource} from './types.ts';
import {makeImports} from './wasi.ts';

const kPageBytes = 65536;
// More would share little work: decoding is bound by the memory's bandwidth, and browsers overstate what they have.
const kMostDefaultThreads = 8;
const kMostThreads = 64;

export interface Started {
  runtime: Runtime;
  memory: WebAssembly.Memory;
  variant: Variant;
  shared: boolean;
  threads: number;
  threadsReason: string;
  helpers: ThreadHandle[];
}

async function readWasm(source: WasmSource, signal: AbortSignal | undefined): Promise<Uint8Array<ArrayBuffer>> {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source instanceof Uint8Array) return new Uint8Array(source);
  const url = source instanceof URL ? source : new URL(source, (globalThis as {location?: {href: string}}).location?.href);
  try {
    const files = nodeFiles();
    if (files !== null && url.protocol === 'file:') return new Uint8Array(await files.readFile(url));
    const response = await fetch(url, signal === undefined ? {} : {signal});
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    signal?.throwIfAborted();
    throw new ModuleError('no_module', `${url.href} could not be read: ${String(error)}`, {cause: error});
  }
}

function defaultWasm(variant: Variant): URL {
  return variant === 'relaxed' ? new URL('./mote-relaxed.wasm', import.meta.url) : new URL('./mote.wasm', import.meta.url);
}

async function chooseVariant(wanted: 'auto' | Variant): Promise<Variant> {
  const {simd, relaxed} = await probe();
  if (!simd) throw new ModuleError('no_simd', 'this engine\'s WebAssembly has no 128-bit SIMD, which mote needs');
  if (wanted === 'relaxed' && !relaxed) {
    throw new ModuleError('no_simd', 'this engine lacks the relaxed dot product or computes it wrongly; simd128 runs here');
  }
  return wanted === 'auto' ? (relaxed ? 'relaxed' : 'simd128') : wanted;
}

// The most that can be reserved, up to `bytes`: address space is scarce on some devices.
function reserveMemory(needed: MemoryImport, bytes: number, shared: boolean): WebAssembly.Memory {
  let maximum = Math.min(Math.floor(bytes / kPageBytes), needed.maximum);
  while (true) {
    maximum = Math.max(maximum, needed.initial);
    try {
      return new WebAssembly.Memory({initial: needed.initial, maximum, shared});
    } catch (error) {
      if (maximum === needed.initial) {
        throw new ModuleError('out_of_memory', `not even ${needed.initial * kPageBytes} bytes could be reserved`,
                              {cause: error});
      }
      maximum = Math.floor(maximum / 2);
    }
  }
}

function startWorker(): ThreadHandle {
  const node = nodeThreads();
  if (node !== null) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new node.Worker(new URL(`./thread.${extension}`, import.meta.url));
    worker.unref();
    return {
      postMessage: (message) => worker.postMessage(message),
      onMessage: (listener) => worker.on('message', listener),
      onError: (listener) => worker.on('error', listener),
      terminate: () => void worker.terminate(),
    };
  }
  return wrapWorker(new Worker(new URL('./thread.js', import.meta.url), {type: 'module', name: 'mote-thread'}));
}

// A browser's Worker as ModuleOptions.createThread returns one.
export function wrapWorker(worker: Worker): ThreadHandle {
  return {
    postMessage: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.addEventListener('message', (event) => listener(event.data)),
    onError: (listener) => worker.addEventListener('error', listener),
    terminate: () => worker.terminate(),
  };
}

function startHelper(helper: ThreadHandle, start: ThreadStart): Promise<void> {
  return new Promise((resolve, reject) => {
    helper.onMessage((message) => {
      const answer = message as ThreadAnswer;
      if (answer.mote === 'ready') resolve();
      else reject(new Error(answer.message));
    });
    helper.onError((error) => reject(new Error((error as {message?: string}).message ?? 'its script could not be run')));
    helper.postMessage(start);
  });
}

// All or none: the pool counts on every one of them. Why there are none, or ''.
async function startHelpers(module: WebAssembly.Module, memory: WebAssembly.Memory, exports: Exports, count: number,
                            create: () => ThreadHandle, helpers: ThreadHandle[]): Promise<string> {
  try {
    if (exports['mote_threads_reserve']!(count) < count) return 'there is no memory for more';
    const starts = [];
    for (let index = 1; index <= count; ++index) {
      const helper = create();
      helpers.push(helper);
      const stack = exports['mote_thread_stack']!(index) >>> 0;
      const variables = exports['mote_thread_variables']!(index) >>> 0;
      starts.push(startHelper(helper, {mote: 'thread', module, memory, index, stack, variables}));
    }
    await Promise.all(starts);
    exports['mote_threads_start']!(count, processors() > count ? 1 : 0);
    return '';
  } catch (error) {
    for (const helper of helpers.splice(0)) helper.terminate();
    return `a helper thread could not be started: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function countThreads(options: ModuleOptions): {threads: number, reason: string} {
  const wanted = options.threads ?? 0;
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > kMostThreads) {
    throw new ModuleError('invalid_argument', `${wanted} threads; 0 (one per core) to ${kMostThreads} are possible`);
  }
  const threads = wanted === 0 ? Math.min(processors(), kMostDefaultThreads) : wanted;
  if (threads === 1) return {threads, reason: ''};
  if (options.shared === false) return {threads: 1, reason: 'memory is not to be shared'};
  if (!mayShare()) return {threads: 1, reason: 'memory cannot be shared: the page is not cross-origin isolated'};
  return {threads, reason: ''};
}

export async function startInstance(options: ModuleOptions): Promise<Started> {
  options.signal?.throwIfAborted();
  if (!mayWait()) {
    throw new ModuleError('unsupported', 'mote\'s module runs in a Worker: a page\'s main thread may not wait');
  }
  const {threads, reason} = countThreads(options);
  const variant = await chooseVariant(options.variant ?? 'auto');
  const bytes = await readWasm(options.wasm?.[variant] ?? defaultWasm(variant), options.signal);
  const shared = options.shared !== false && mayShare();
  try {
    return await instantiate(bytes, options, {variant, shared, threads, threadsReason: reason});
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof ModuleError) throw error;
    throw new ModuleError('no_module', `the module could not be started: ${String(error)}`, {cause: error});
  }
}

async function instantiate(bytes: Uint8Array<ArrayBuffer>, options: ModuleOptions,
                           plan: Pick<Started, 'variant' | 'shared' | 'threads' | 'threadsReason'>): Promise<Started> {
  const log = options.log ?? (() => {});
  const needed = findMemoryImport(bytes);
  const memory = reserveMemory(needed, options.maxMemory ?? 2 ** 32, plan.shared);
  const module = await WebAssembly.compile(plan.shared ? bytes : withPlainMemory(bytes));
  let runtime: Runtime | undefined;
  const hooks = {memory, print: (line: string) => log('error', line)};
  const instance = await WebAssembly.instantiate(
      module, makeImports(module, hooks, Runtime.imports(() => runtime!)));
  const exports = instance.exports as unknown as Exports;
  exports['_initialize']!();
  const helpers: ThreadHandle[] = [];
  let {threads, threadsReason} = plan;
  if (threads > 1) {
    threadsReason = await startHelpers(module, memory, exports, threads - 1, options.createThread ?? startWorker, helpers);
    if (threadsReason !== '') threads = 1;
  }
  if (options.signal?.aborted === true) {
    for (const helper of helpers) helper.terminate();
    options.signal.throwIfAborted();
  }
  runtime = new Runtime(memory, exports, log);
  return {runtime, memory, variant: plan.variant, shared: plan.shared, threads, threadsReason, helpers};
}
