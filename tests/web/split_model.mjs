// A GGUF file as parts, as llama.cpp's splitter makes them: all pairs in the first, tensors shared out, each part with
// split.no, split.count and split.tensors.count.
import {readHeader} from '../../web/src/worker/parts.ts';

const UINT16 = 2;
const INT32 = 5;

function pair(key, type, value) {
  const out = Buffer.alloc(8 + key.length + 4 + (type === UINT16 ? 2 : 4));
  out.writeBigUInt64LE(BigInt(key.length));
  out.write(key, 8);
  out.writeUInt32LE(type, 8 + key.length);
  if (type === UINT16) out.writeUInt16LE(value, 12 + key.length);
  else out.writeInt32LE(value, 12 + key.length);
  return out;
}

// Where a tensor's bytes end: the next one begins there.
function ends(header, size) {
  const offsets = [...header.tensors.map(({offset}) => offset), size - header.dataBegin].sort((a, b) => a - b);
  return (offset) => offsets[offsets.indexOf(offset) + 1];
}

export function splitModel(file, count) {
  const header = readHeader(file, 'file');
  const endOf = ends(header, file.length);
  const per = Math.ceil(header.tensors.length / count);
  return Array.from({length: count}, (_, no) => {
    const tensors = header.tensors.slice(no * per, (no + 1) * per);
    const own = [pair('split.no', UINT16, no), pair('split.count', UINT16, count), pair('split.tensors.count', INT32, header.tensors.length)];
    const pairs = [...(no === 0 ? header.pairs.map(({begin, end}) => file.subarray(begin, end)) : []), ...own];
    const start = Buffer.alloc(24);
    start.write('GGUF');
    start.writeUInt32LE(header.version, 4);
    start.writeBigUInt64LE(BigInt(tensors.length), 8);
    start.writeBigUInt64LE(BigInt(pairs.length), 16);
    let offset = 0;
    const data = [];
    const infos = tensors.map(({begin, end, offset: from}) => {
      const info = Buffer.from(file.subarray(begin, end));
      info.writeBigUInt64LE(BigInt(offset), info.length - 8);
      const bytes = file.subarray(header.dataBegin + from, header.dataBegin + endOf(from));
      data.push(bytes);
      offset += bytes.length;
      return info;
    });
    const head = Buffer.concat([start, ...pairs, ...infos]);
    const padding = Buffer.alloc((header.alignment - head.length % header.alignment) % header.alignment);
    return Buffer.concat([head, padding, ...data]);
  });
}
