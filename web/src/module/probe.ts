// What this engine's WebAssembly can do, found out by asking it.

const kRelaxedDot = [0xfd, 0x93, 0x02];  // i32x4.relaxed_dot_i8x16_i7x16_add_s

const section = (id: number, bytes: number[]): number[] => [id, bytes.length, ...bytes];
const module = (...sections: number[][]): Uint8Array<ArrayBuffer> =>
    new Uint8Array([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, ...sections.flat()]);

// A function that returns i8x16.popcnt of a splat.
const kSimdModule = module(
    section(1, [1, 0x60, 0, 1, 0x7b]), section(3, [1, 0]),
    section(10, [1, 8, 0, 0x41, 0, 0xfd, 0x0f, 0xfd, 0x62, 0x0b]));

const load = (address: number): number[] => [0x41, address, 0xfd, 0x00, 4, 0];
// f(n): n times, adds the dot products of the vectors at 0 and 16 to that at 32; the sum goes to 48. Memory is "m".
const kDotBody = [
  1, 1, 0x7b,                             // one local vector
  ...load(32), 0x21, 1,                   //
  0x03, 0x40,                             // loop
  ...load(0), ...load(16), 0x20, 1, ...kRelaxedDot, 0x21, 1,
  0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b,  // until n is 0
  0x41, 48, 0x20, 1, 0xfd, 0x0b, 4, 0,    // v128.store
  0x0b,
];
const kDotModule = module(
    section(1, [1, 0x60, 1, 0x7f, 0]), section(3, [1, 0]), section(5, [1, 0, 1]),
    section(7, [2, 1, 0x6d, 2, 0, 1, 0x66, 0, 0]), section(10, [1, kDotBody.length, ...kDotBody]));

// The first operand is signed, the second in [0, 127]: what the standard promises one result for, and the kernels hold to;
// Q8_0's ask the engine themselves what it makes of an eighth bit.
function dotIsRight(run: (n: number) => void, memory: WebAssembly.Memory, seed: number): boolean {
  const bytes = new Int8Array(memory.buffer), words = new Int32Array(memory.buffer);
  const extremes = [-128, 127, -1, 0, 1, -127];
  let state = seed;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
  for (let i = 0; i < 16; ++i) {
    bytes[i] = seed < 6 ? extremes[(i + seed) % 6]! : next() % 256 - 128;
    bytes[16 + i] = seed < 6 ? [127, 127, 0, 64][(i + seed) % 4]! : next() % 128;
  }
  for (let lane = 0; lane < 4; ++lane) words[8 + lane] = next() - 8388608;
  const repeats = 100;
  run(repeats);
  for (let lane = 0; lane < 4; ++lane) {
    let dot = 0;
    for (let i = lane * 4; i < lane * 4 + 4; ++i) dot += bytes[i]! * bytes[16 + i]!;
    if (words[12 + lane] !== ((words[8 + lane]! + repeats * dot) | 0)) return false;
  }
  return true;
}

// `simd`: 128-bit vectors. `relaxed`: the relaxed dot product as well, and it computes what it should (that of Node 20
// does not).
export async function probe(): Promise<{simd: boolean, relaxed: boolean}> {
  const simd = WebAssembly.validate(kSimdModule);
  if (!simd || !WebAssembly.validate(kDotModule)) return {simd, relaxed: false};
  try {
    const {instance} = await WebAssembly.instantiate(kDotModule);
    const run = instance.exports['f'] as (n: number) => void;
    const memory = instance.exports['m'] as WebAssembly.Memory;
    for (let seed = 0; seed < 200; ++seed) {
      if (!dotIsRight(run, memory, seed)) return {simd, relaxed: false};
    }
    return {simd, relaxed: true};
  } catch {
    return {simd, relaxed: false};
  }
}
