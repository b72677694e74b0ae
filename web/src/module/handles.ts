// What JavaScript holds of the module: pointers, freed once.
import {ModuleError} from './errors.ts';
import type {Freeable, Runtime} from './runtime.ts';
import type {Allocation, Grammar, Prompt, PromptInfo} from './types.ts';

// A pointer of the module with an owner: freed once, and by the owner at the latest.
export class Handle implements Freeable {
  readonly runtime: Runtime;
  readonly kind: string;
  readonly #free: (address: number) => void;
  readonly #owner: Set<Freeable>;
  #address: number;

  constructor(runtime: Runtime, kind: string, address: number, owner: Set<Freeable>, free: (address: number) => void) {
    this.runtime = runtime;
    this.kind = kind;
    this.#address = address;
    this.#owner = owner;
    this.#free = free;
    owner.add(this);
  }

  get address(): number {
    this.runtime.check();
    if (this.#address === 0) throw new ModuleError('disposed', `the ${this.kind} was freed`);
    return this.#address;
  }
  free(): void {
    const address = this.#address;
    if (address === 0) return;
    this.#address = 0;
    this.#owner.delete(this);
    if (!this.runtime.ended) this.#free(address);
  }
}

export class PromptHandle extends Handle implements Prompt {
  constructor(runtime: Runtime, address: number, owner: Set<Freeable>) {
    super(runtime, 'prompt', address, owner, (prompt) => runtime.call(null, 'mote_prompt_free', prompt));
  }
  get info(): PromptInfo {
    return this.runtime.scoped((scope) => {
      const info = scope.result('mote_prompt_info');
      this.runtime.request(scope, 'mote_prompt_get_info', this.address, info);
      return this.runtime.readInfo(info, 'mote_prompt_info', [
        'tokens', 'images', 'images_known', 'image_rows', 'views', 'preprocess_seconds', 'encode_seconds',
      ], []) as unknown as PromptInfo;
    });
  }
  get tokens(): Int32Array {
    return this.runtime.scoped((scope) => {
      const count = scope.zeroed(4);
      const first = this.runtime.call(scope, 'mote_prompt_tokens', this.address, count) >>> 0;
      return this.runtime.memory.copyInt32(first, this.runtime.memory.pointer(count));
    });
  }
  imageRows(index: number): number {
    return this.runtime.call(null, 'mote_prompt_image_rows', this.address, index, 0) >>> 0;
  }
}

export class GrammarHandle extends Handle implements Grammar {
  constructor(runtime: Runtime, address: number, owner: Set<Freeable>) {
    super(runtime, 'grammar', address, owner, (grammar) => runtime.call(null, 'mote_grammar_free', grammar));
  }
}

// A file in the module's memory.
export class FileMemory implements Allocation {
  readonly size: number;
  readonly #runtime: Runtime;
  readonly #owner: Set<Freeable>;
  #address: number;

  constructor(runtime: Runtime, owner: Set<Freeable>, size: number) {
    if (!Number.isInteger(size) || size < 1) {
      throw new ModuleError('invalid_argument', `an allocation of ${size} bytes; 1 or more are possible`);
    }
    runtime.check();
    this.#runtime = runtime;
    this.#owner = owner;
    this.size = size;
    this.#address = runtime.memory.allocate(size, 'a file');
    owner.add(this);
  }

  get address(): number {
    this.#runtime.check();
    if (this.#address === 0) throw new ModuleError('disposed', 'the allocation was freed');
    return this.#address;
  }
  write(offset: number, bytes: Uint8Array): void {
    this.bytes(offset, bytes.length).set(bytes);
  }
  bytes(offset = 0, length = this.size - offset): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new ModuleError('invalid_argument', `${length} bytes at ${offset} of an allocation of ${this.size}`);
    }
    const {bytes} = this.#runtime.memory;
    return bytes.subarray(this.address + offset, this.address + offset + length);
  }
  free(): void {
    const address = this.#address;
    if (address === 0) return;
    this.#address = 0;
    this.#owner.delete(this);
    if (!this.#runtime.ended) this.#runtime.memory.free(address);
  }
}
