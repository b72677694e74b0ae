// The module's memory as JavaScript sees it: views that follow it as it grows, strings, structs of mote.h, and scratch
// for the arguments of a call.
import {ModuleError} from './errors.ts';

type Value = number | bigint;
interface Field {
  offset: number;
  kind: number;
}
interface Struct {
  size: number;
  fields: Map<string, Field>;
}

// As in targets/wasm/module/module.cc.
const kKinds = {int32: 0, uint32: 1, int64: 2, uint64: 3, float32: 4, float64: 5, pointer: 6, struct: 255} as const;

export type Call = (...values: Value[]) => number;
export type Exports = Record<string, Call>;

export class ModuleMemory {
  readonly memory: WebAssembly.Memory;
  readonly #exports: Exports;
  readonly #structs = new Map<string, Struct>();
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  #view: DataView;
  #bytes: Uint8Array;

  constructor(memory: WebAssembly.Memory, exports: Exports) {
    this.memory = memory;
    this.#exports = exports;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#readLayout();
  }

  get view(): DataView {
    if (this.#view.buffer !== this.memory.buffer) this.#view = new DataView(this.memory.buffer);
    return this.#view;
  }
  get bytes(): Uint8Array {
    if (this.#bytes.buffer !== this.memory.buffer) this.#bytes = new Uint8Array(this.memory.buffer);
    return this.#bytes;
  }

  pointer(address: number): number {
    return this.view.getUint32(address, true);
  }
  // Copies: what decodes text, and what is handed out, must not be shared.
  copyBytes(address: number, size: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytes.slice(address, address + size));
  }
  copyInt32(address: number, count: number): Int32Array {
    return new Int32Array(this.copyBytes(address, count * 4).buffer);
  }
  copyFloat32(address: number, count: number): Float32Array {
    return new Float32Array(this.copyBytes(address, count * 4).buffer);
  }
  text(address: number, size: number): string {
    return this.#decoder.decode(this.copyBytes(address, size));
  }
  // NUL-terminated; null for null.
  string(address: number): string | null {
    if (address === 0) return null;
    const {bytes} = this;
    let end = address;
    while (bytes[end] !== 0) ++end;
    return this.text(address, end - address);
  }
  encode(text: string): Uint8Array {
    return this.#encoder.encode(text);
  }

  sizeOf(type: string): number {
    return this.#struct(type).size;
  }
  get(type: string, address: number, field: string): number {
    const {offset, kind} = this.#field(type, field);
    const at = address + offset, {view} = this;
    switch (kind) {
      case kKinds.int32: return view.getInt32(at, true);
      case kKinds.float32: return view.getFloat32(at, true);
      case kKinds.float64: return view.getFloat64(at, true);
      case kKinds.int64: return Number(view.getBigInt64(at, true));
      case kKinds.uint64: return Number(view.getBigUint64(at, true));
      default: return view.getUint32(at, true);
    }
  }
  set(type: string, address: number, field: string, value: Value): void {
    const {offset, kind} = this.#field(type, field);
    const at = address + offset, {view} = this;
    switch (kind) {
      case kKinds.int32: view.setInt32(at, Number(value), true); break;
      case kKinds.float32: view.setFloat32(at, Number(value), true); break;
      case kKinds.float64: view.setFloat64(at, Number(value), true); break;
      case kKinds.int64: view.setBigInt64(at, BigInt(value), true); break;
      case kKinds.uint64: view.setBigUint64(at, BigInt(value), true); break;
      default: view.setUint32(at, Number(value), true);
    }
  }

  // OUT_OF_MEMORY where there is none left.
  allocate(size: number, what: string): number {
    const address = size < 0xffffff00 ? this.#exports['mote_web_allocate']!(size) >>> 0 : 0;
    if (address === 0) {
      throw new ModuleError('out_of_memory', `${what}: could not allocate ${size} bytes of the module's memory, which has ${
          this.memory.buffer.byteLength}`);
    }
    return address;
  }
  free(address: number): void {
    this.#exports['mote_web_free']!(address);
  }

  #struct(type: string): Struct {
    const struct = this.#structs.get(type);
    if (struct === undefined) throw new ModuleError('internal', `the module tells nothing of ${type}`);
    return struct;
  }
  #field(type: string, name: string): Field {
    const field = this.#struct(type).fields.get(name);
    if (field === undefined) throw new ModuleError('internal', `the module tells nothing of ${type}.${name}`);
    return field;
  }
  #readLayout(): void {
    const first = this.#exports['mote_web_layout']!() >>> 0;
    let struct: Struct | undefined;
    for (let i = 0; i < this.#exports['mote_web_layout_count']!(); ++i) {
      const entry = first + i * 12;
      const name = this.string(this.pointer(entry))!;
      const value = this.pointer(entry + 4), kind = this.pointer(entry + 8);
      if (kind === kKinds.struct) {
        struct = {size: value, fields: new Map()};
        this.#structs.set(name, struct);
      } else {
        struct!.fields.set(name, {offset: value, kind});
      }
    }
  }
}

// Memory of one call's arguments: taken from a block that is always there, or, what is too large for it, by itself.
export class Scope {
  static readonly blockBytes = 65536;
  readonly memory: ModuleMemory;
  readonly #exports: Exports;
  readonly #end: number;
  readonly #own: number[] = [];
  top: number;

  constructor(memory: ModuleMemory, exports: Exports, begin: number, end: number) {
    this.memory = memory;
    this.#exports = exports;
    this.top = begin;
    this.#end = end;
  }

  take(size: number): number {
    const address = (this.top + 15) & ~15;
    if (size <= 16384 && (address >>> 0) + size <= this.#end) {
      this.top = (address >>> 0) + size;
      return address >>> 0;
    }
    const own = this.memory.allocate(Math.max(size, 1), 'arguments of a call');
    this.#own.push(own);
    return own;
  }
  release(): void {
    for (const address of this.#own) this.memory.free(address);
    this.#own.length = 0;
  }

  zeroed(size: number): number {
    const address = this.take(size);
    this.memory.bytes.fill(0, address, address + size);
    return address;
  }
  bytes(data: Uint8Array | Uint8ClampedArray): number {
    const address = this.take(data.length);
    this.memory.bytes.set(data, address);
    return address;
  }
  // Text with its length beside it.
  text(text: string): {address: number, size: number} {
    const data = this.memory.encode(text);
    return {address: this.bytes(data), size: data.length};
  }
  // NUL-terminated; null for undefined.
  string(text: string | undefined): number {
    if (text === undefined) return 0;
    if (text.includes('\0')) throw new ModuleError('invalid_argument', 'text with a NUL character in it; it would end there');
    return this.bytes(this.memory.encode(`${text}\0`));
  }
  int32(values: ArrayLike<number>): number {
    const address = this.take(values.length * 4);
    new Int32Array(this.memory.memory.buffer, address, values.length).set(values);
    return address;
  }
  pointers(values: readonly number[]): number {
    const address = this.take(values.length * 4);
    new Uint32Array(this.memory.memory.buffer, address, values.length).set(values);
    return address;
  }
  // Parameters with mote.h's defaults, then these; undefined leaves the default.
  params(type: string, values: Record<string, Value | undefined>): number {
    const size = this.memory.sizeOf(type);
    const address = this.zeroed(size);
    this.#exports[`${type}_init`]!(address, size);
    this.fill(type, address, values);
    return address;
  }
  fill(type: string, address: number, values: Record<string, Value | undefined>): void {
    for (const [field, value] of Object.entries(values)) {
      if (value !== undefined) this.memory.set(type, address, field, value);
    }
  }
  // For results: struct_size is set.
  result(type: string): number {
    const address = this.zeroed(this.memory.sizeOf(type));
    this.memory.set(type, address, 'struct_size', this.memory.sizeOf(type));
    return address;
  }
}
