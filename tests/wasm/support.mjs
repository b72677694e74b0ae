// What the tests of the module share: the module under test, files, a drawn scene.
import {existsSync, readFileSync} from 'node:fs';
import {basename} from 'node:path';
import {pathToFileURL} from 'node:url';
import {createModule} from '../../web/src/module/index.ts';

const path = process.env.MOTE_WASM;
if (path === undefined) throw new Error('MOTE_WASM names the module to test: build/wasm/web/mote.wasm');
export const variant = basename(path) === 'mote-relaxed.wasm' ? 'relaxed' : 'simd128';
export const wasm = {[variant]: pathToFileURL(path)};

export const start = (options = {}) => createModule({variant, wasm, threads: 1, ...options});

// Every way in which the module runs: shared memory or not, 1, 2 and 4 threads.
export const ways = [
  {threads: 1, shared: false}, {threads: 1, shared: true}, {threads: 2, shared: true}, {threads: 4, shared: true},
];
export const nameOf = ({threads, shared}) => `${threads} threads, ${shared ? 'shared' : 'plain'} memory`;

export const readOr = (file) => existsSync(file) ? readFileSync(file) : null;
export const eye = readFileSync('models/mote-eye-q8_0.gguf');
export const eyeVision = readFileSync('models/mmproj-mote-eye-q8_0.gguf');
// A trained language model that is not in the repository.
export const stories = readOr('../shared/data/stories260K.gguf');
export const storiesExpected = readOr('../shared/data/stories260K.expected.json');

// In pieces, as from the network.
export function write(module, bytes) {
  const file = module.allocate(bytes.length);
  for (let at = 0; at < bytes.length; at += 100000) file.write(at, bytes.subarray(at, at + 100000));
  return file;
}

export function loadEye(module, options = {}) {
  const model = module.loadModel(write(module, eye), {context: 512, ...options});
  model.loadVision(write(module, eyeVision));
  return model;
}

// A red circle above a blue square.
export function drawScene() {
  const side = 128, data = new Uint8Array(side * side * 4);
  for (let y = 0; y < side; ++y) {
    for (let x = 0; x < side; ++x) {
      const circle = (x - 40) ** 2 + (y - 44) ** 2 <= 22 ** 2;
      const square = x >= 76 && x < 112 && y >= 72 && y < 108;
      data.set(circle ? [210, 40, 40, 255] : square ? [40, 80, 200, 255] : [240, 240, 232, 255], (y * side + x) * 4);
    }
  }
  return {data, width: side, height: side};
}
// What `mote run --temp 0` answers about it, with every instruction set of x86 and with the reference kernels.
export const sceneAnswers = [
  ['What shape is red?', ' circle'],
  ['What colour is the square?', ' blue'],
  ['Describe the picture.', ' a red circle and a blue square'],
  ['How many things are there?', ' 2'],
];
export const ask = (text) => [{role: 'user', content: text}];
