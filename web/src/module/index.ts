// The runtime of mote's WebAssembly modules; types.ts says what everything means.
import {FileMemory} from './handles.ts';
import {startInstance, type Started} from './instance.ts';
import {LoadedModel} from './model.ts';
import type {Freeable} from './runtime.ts';
import type {Allocation, LoadOptions, Model, Module, ModuleOptions, Variant} from './types.ts';

export {ModuleError} from './errors.ts';
export {wrapWorker} from './instance.ts';
export {probe} from './probe.ts';
export {listen as listenAsThread, runThread, type ThreadAnswer, type ThreadStart} from './thread_main.ts';
export type * from './types.ts';

class StartedModule implements Module {
  readonly version: string;
  readonly variant: Variant;
  readonly threads: number;
  readonly threadsReason: string;
  readonly shared: boolean;
  readonly memory: WebAssembly.Memory;
  readonly #started: Started;
  readonly #children = new Set<Freeable>();

  constructor(started: Started) {
    this.#started = started;
    this.variant = started.variant;
    this.threads = started.threads;
    this.threadsReason = started.threadsReason;
    this.shared = started.shared;
    this.memory = started.memory;
    this.version = started.runtime.memory.string(started.runtime.call(null, 'mote_version') >>> 0) ?? '';
  }

  get memoryBytes(): number {
    return this.memory.buffer.byteLength;
  }
  allocate(size: number): Allocation {
    return new FileMemory(this.#started.runtime, this.#children, size);
  }
  loadModel(file: Allocation, options: LoadOptions = {}): Model {
    return new LoadedModel(this.#started.runtime, this.#children, file, options);
  }
  dispose(): void {
    for (const child of [...this.#children]) child.free();
    this.#started.runtime.end();
    for (const helper of this.#started.helpers.splice(0)) helper.terminate();
  }
}

export async function createModule(options: ModuleOptions = {}): Promise<Module> {
  return new StartedModule(await startInstance(options));
}
