// Models in parts: the file that is made of them has the same tensors and values.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {joinHeaders, placeParts, readHeader} from '../../web/src/worker/parts.ts';
import {MODEL} from './browser.mjs';
import {splitModel} from './split_model.mjs';

const file = readFileSync(MODEL);

function join(parts) {
  const sizes = parts.map(({length}) => length);
  const {places, total} = placeParts(sizes);
  const memory = new Uint8Array(total);
  parts.forEach((part, i) => memory.set(part, places[i]));
  memory.set(joinHeaders(sizes, parts.map((_, i) => `part ${i}`), (at, size) => memory.subarray(at, at + size)));
  return memory;
}
const contents = (bytes, count) => {
  const header = readHeader(bytes, 'file');
  // A description without its offset, and the first bytes of the tensor.
  const tensors = header.tensors.map(({begin, end, offset}) => [Buffer.from(bytes.subarray(begin, end - 8)).toString('hex'),
    Buffer.from(bytes.subarray(header.dataBegin + offset, header.dataBegin + offset + 64)).toString('hex')]);
  const pairs = header.pairs.filter(({key}) => key !== 'general.fill').map(({begin, end}) => Buffer.from(bytes.subarray(begin, end)).toString('hex'));
  assert.equal(tensors.length, count);
  return {tensors, pairs};
};

test('two, three and seven parts are the file again', () => {
  const {length} = readHeader(file, 'file').tensors;
  const whole = contents(file, length);
  for (const count of [2, 3, 7]) {
    const parts = splitModel(file, count);
    assert.equal(parts.length, count);
    assert.deepEqual(contents(join(parts), length), whole, `${count} parts`);
  }
});

test('a header that is cut, or lies, is refused by the part\'s name', () => {
  const [first, second] = splitModel(file, 2);
  const {dataBegin} = readHeader(second, 'second');
  for (const cut of [0, 3, 10, 23, 60, dataBegin - 60]) {
    assert.throws(() => readHeader(second.subarray(0, cut), 'x.gguf'), {code: 'malformed', message: /^x\.gguf: its header cannot be read/}, `${cut} bytes`);
  }
  const lies = [[0, 1], [11, 0xff], [15, 0x7f], [23, 0xff], [40, 0xff]];
  for (const [at, value] of lies) {
    const bad = Buffer.from(second);
    bad[at] = value;
    assert.throws(() => join([first, bad]), {code: 'malformed'}, `byte ${at}`);
  }
});
