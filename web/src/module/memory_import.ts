// The one memory that a module imports: how large it must be, and the flag that says whether it is shared. Read from
// the module's bytes, since the JavaScript interface does not tell.

export interface MemoryImport {
  initial: number;  // pages of 64 KiB
  maximum: number;
  shared: boolean;
  flagOffset: number;  // of the byte in the file that says so
}

const kImportSection = 2;
const kFunction = 0, kTable = 1, kMemory = 2, kGlobal = 3;
const kHasMaximum = 1, kShared = 2;

// Reads the numbers and names that a module is made of; throws RangeError at the end of the bytes.
export class WasmReader {
  readonly bytes: Uint8Array;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.offset = offset;
  }

  byte(): number {
    const value = this.bytes[this.offset++];
    if (value === undefined) throw new RangeError(`the module ends at byte ${this.bytes.length}`);
    return value;
  }

  // Unsigned, up to 32 bits.
  number(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw new RangeError('a number of the module has more than 5 bytes');
  }

  skip(count: number): void {
    this.offset += count;
    if (this.offset > this.bytes.length) throw new RangeError(`the module ends at byte ${this.bytes.length}`);
  }

  skipName(): void {
    this.skip(this.number());
  }
}

function readLimits(reader: WasmReader): {flag: number, initial: number, maximum: number} {
  const flag = reader.byte();
  const initial = reader.number();
  return {flag, initial, maximum: (flag & kHasMaximum) !== 0 ? reader.number() : 65536};
}

function skipImport(reader: WasmReader, kind: number): void {
  switch (kind) {
    case kFunction:
      reader.number();
      break;
    case kTable:
      reader.byte();
      readLimits(reader);
      break;
    case kGlobal:
      reader.skip(2);
      break;
    default:
      throw new RangeError(`an import of kind ${kind}`);
  }
}

export function findMemoryImport(bytes: Uint8Array): MemoryImport {
  const reader = new WasmReader(bytes);
  const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  if (magic.some((value) => reader.byte() !== value)) throw new RangeError('these bytes are no WebAssembly module');
  while (reader.offset < bytes.length) {
    const section = reader.byte();
    const size = reader.number();
    const end = reader.offset + size;
    if (section !== kImportSection) {
      reader.skip(size);
      continue;
    }
    for (let left = reader.number(); left > 0 && reader.offset < end; --left) {
      reader.skipName();
      reader.skipName();
      const kind = reader.byte();
      if (kind !== kMemory) {
        skipImport(reader, kind);
        continue;
      }
      const flagOffset = reader.offset;
      const {flag, initial, maximum} = readLimits(reader);
      return {initial, maximum, shared: (flag & kShared) !== 0, flagOffset};
    }
    break;
  }
  throw new RangeError('the module imports no memory');
}

// A copy of the module that runs with memory that is not shared. Atomic instructions work on it as well; waiting would
// trap, and with one thread nobody waits.
export function withPlainMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const {flagOffset} = findMemoryImport(bytes);
  const copy = new Uint8Array(bytes);
  copy[flagOffset]! &= ~kShared;
  return copy;
}
