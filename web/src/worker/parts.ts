// A model in parts as one file: the parts lie one behind the other in one allocation, each with its header, and a header
// for all of them stands in front. The engine takes tensors anywhere in a file, so nothing has to be moved.
//
//   [header of all, filled up to the first tensor][tensors of part 0][part 1, whole][part 2, whole]...
//
// GGUF version 2 and 3: magic, version, tensor count, pair count; pairs (key, type, value); tensors (name, dimensions,
// type, offset from the data's begin); padding to the alignment; data. All little-endian; strings are a 64-bit length and
// bytes.
import {MalformedError} from '../errors.ts';

const ALIGNMENT = 32;
// Room before the first part for the tensors of the others; they take about 70 bytes each.
const HEAD_ROOM = 1 << 20;
const FILL = 'general.fill';
const [UINT8, STRING, ARRAY] = [0, 8, 9];
// Bytes of a value of each type; strings and arrays have lengths of their own.
const WIDTHS = [1, 1, 2, 2, 4, 4, 4, 1, -1, -1, 8, 8, 8];

interface Tensor {
  begin: number;   // of its description, in the part
  end: number;
  offset: number;  // from the data's begin
}

interface Header {
  version: number;
  pairs: {key: string; begin: number; end: number}[];
  tensors: Tensor[];
  dataBegin: number;
  alignment: number;
}

class Cursor {
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }
  u64(): number {
    this.at += 8;
    const value = Number(this.#view.getBigUint64(this.at - 8, true));
    if (!Number.isSafeInteger(value)) throw new RangeError('a length beyond 2^53');
    return value;
  }
  text(): string {
    const length = this.u64();
    this.skip(length);
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.at - length, length);
    // Over shared memory the decoder refuses views.
    return new TextDecoder().decode(bytes.slice());
  }
  skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#view.byteLength) throw new RangeError('beyond the end');
  }
}

function skipValue(cursor: Cursor, type: number): void {
  const width = WIDTHS[type];
  if (width === undefined) throw new RangeError(`a value of type ${type}`);
  if (width > 0) return cursor.skip(width);
  if (type === STRING) return cursor.skip(cursor.u64());
  const element = cursor.u32();
  const count = cursor.u64();
  const each = WIDTHS[element] ?? -1;
  if (element === ARRAY || (each < 0 && element !== STRING)) throw new RangeError(`an array of type ${element}`);
  if (each > 0) return cursor.skip(count * each);
  for (let i = 0; i < count; ++i) cursor.skip(cursor.u64());
  return undefined;
}

/** Reads as much of a part's header as is needed to join it; `name` is for errors. What the values mean is the engine's
 * to check. */
export function readHeader(bytes: Uint8Array, name: string): Header {
  try {
    const cursor = new Cursor(bytes);
    if (cursor.u32() !== 0x46554747) throw new RangeError('no "GGUF" at its begin');
    const version = cursor.u32();
    const tensorCount = cursor.u64();
    const pairCount = cursor.u64();
    const pairs: Header['pairs'] = [];
    let alignment = ALIGNMENT;
    for (let i = 0; i < pairCount; ++i) {
      const begin = cursor.at;
      const key = cursor.text();
      const type = cursor.u32();
      if (key === 'general.alignment' && type === 4) {
        alignment = cursor.u32();
      } else {
        skipValue(cursor, type);
      }
      pairs.push({key, begin, end: cursor.at});
    }
    if (alignment < 8 || (alignment & (alignment - 1)) !== 0) throw new RangeError(`an alignment of ${alignment}`);
    const tensors: Tensor[] = [];
    for (let i = 0; i < tensorCount; ++i) {
      const begin = cursor.at;
      cursor.skip(cursor.u64());
      cursor.skip(8 * cursor.u32() + 4);
      const offset = cursor.u64();
      tensors.push({begin, end: cursor.at, offset});
    }
    return {version, pairs, tensors, dataBegin: Math.ceil(cursor.at / alignment) * alignment, alignment};
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MalformedError(`${name}: its header cannot be read: ${error.message}`, {}, error);
  }
}

const padded = (size: number) => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

/** Where parts of these sizes lie, and how large the whole is. */
export function placeParts(sizes: readonly number[]): {places: number[]; total: number} {
  let at = HEAD_ROOM;
  const places = sizes.map((size) => {
    const place = at;
    at += padded(size);
    return place;
  });
  return {places, total: at};
}

class Writer {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }
  u32(value: number): void {
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }
  u64(value: number): void {
    this.#view.setBigUint64(this.at, BigInt(value), true);
    this.at += 8;
  }
  copy(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }
}

/** The header of all parts, which goes to byte 0 of the allocation. `view(at, size)`: bytes of the allocation. */
export function joinHeaders(sizes: readonly number[], names: readonly string[],
                            view: (at: number, size: number) => Uint8Array): Uint8Array {
  const {places} = placeParts(sizes);
  const headers = sizes.map((size, part) => readHeader(view(places[part]!, size), names[part]!));
  const first = headers[0]!;
  const dataBegin = places[0]! + first.dataBegin;
  // What says that it is split is left out: it is not, any more.
  const pairs = first.pairs.filter(({key}) => !key.startsWith('split.'));
  const tensorBytes = headers.reduce((sum, {tensors}) => sum + tensors.reduce((all, {begin, end}) => all + end - begin, 0), 0);
  const pairBytes = pairs.reduce((sum, {begin, end}) => sum + end - begin, 0);
  const key = new TextEncoder().encode(FILL);
  const fixed = 24 + pairBytes + (8 + key.length + 4 + 4 + 8) + tensorBytes;
  if (fixed > dataBegin) {
    throw new MalformedError(`the parts describe their tensors in ${tensorBytes} bytes; up to ${HEAD_ROOM} can be joined`);
  }

  const writer = new Writer(dataBegin);
  writer.u32(0x46554747);
  writer.u32(first.version);
  writer.u64(headers.reduce((sum, {tensors}) => sum + tensors.length, 0));
  writer.u64(pairs.length + 1);
  for (const {begin, end} of pairs) writer.copy(view(places[0]! + begin, end - begin));
  writer.u64(key.length);
  writer.copy(key);
  writer.u32(ARRAY);
  writer.u32(UINT8);
  writer.u64(dataBegin - fixed);
  writer.at += dataBegin - fixed;
  headers.forEach(({tensors, dataBegin: begin, alignment}, part) => {
    const shift = places[part]! + begin - dataBegin;
    if (alignment !== first.alignment || shift % alignment !== 0) {
      throw new MalformedError(`${names[part]}: its alignment is ${alignment}, that of the first part ${first.alignment}`);
    }
    for (const tensor of tensors) {
      writer.copy(view(places[part]! + tensor.begin, tensor.end - tensor.begin - 8));
      writer.u64(tensor.offset + shift);
    }
  });
  return writer.bytes;
}
