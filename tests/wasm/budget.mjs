// Holds the size of a module and the instructions of its kernels: node budget.mjs FILE.wasm. Prints both.
//
// A compiler that stops to see a pattern makes no test fail and the hot loops several times slower: so the products of
// 8-bit codes must be made of the instruction that they were written for, and nothing may be computed number by number
// in the functions that hold them.
import {readFileSync} from 'node:fs';
import {basename} from 'node:path';
import {brotliCompressSync, constants, gzipSync} from 'node:zlib';
import {readFunctions} from './instructions.mjs';

const kMostBytes = 2 << 20;
const kMostCompressed = 700 << 10;
const kHotDots = 8;  // a function with so many dot products is a kernel

const path = process.argv[2];
const bytes = readFileSync(path);
const relaxed = basename(path) === 'mote-relaxed.wasm';
const gzip = gzipSync(bytes, {level: 9}).length;
const brotli = brotliCompressSync(bytes, {params: {[constants.BROTLI_PARAM_QUALITY]: 9}}).length;
console.log(`${basename(path)}: ${bytes.length} bytes, ${gzip} with gzip -9, ${brotli} with brotli -9`);

const failures = [];
const hold = (truth, words) => {
  if (!truth) failures.push(words);
};
hold(bytes.length < kMostBytes, `${bytes.length} bytes; less than ${kMostBytes} are allowed`);
hold(gzip < kMostCompressed, `${gzip} bytes with gzip -9; less than ${kMostCompressed} are allowed`);

const functions = readFunctions(bytes);
const total = {};
for (const {counts} of functions) {
  for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
}
const dot = relaxed ? 'relaxed_dot' : 'dot_i16';
const kernels = functions.filter(({counts}) => (counts[dot] ?? 0) >= kHotDots);
const sum = (name) => kernels.reduce((all, {counts}) => all + (counts[name] ?? 0), 0);
const all = sum('all');
console.log(`${functions.length} functions, ${total.all} instructions, ${total.vector} of them on vectors`);
console.log(`dot products: ${total.relaxed_dot ?? 0} relaxed, ${total.dot_i16 ?? 0} of 16 bits`);
console.log(`${kernels.length} kernels: ${all} instructions, ${(100 * sum('vector') / all).toFixed(1)} % on vectors, ` +
    `${sum('scalar_float')} on single floats, ${sum('narrow_load')} loads of single bytes or halves, ${sum('call')} calls`);

hold(kernels.length >= 20, `${kernels.length} kernels with the dot product; each number format has several`);
if (relaxed) {
  hold(total.relaxed_dot > 1000, `${total.relaxed_dot ?? 0} relaxed dot products; more than 1000 are meant`);
} else {
  hold(!total.relaxed, `${total.relaxed} instructions of relaxed SIMD in a module for engines without`);
  hold(total.dot_i16 > 1000, `${total.dot_i16 ?? 0} dot products of 16 bits; more than 1000 are meant`);
}
hold(total.atomic > 50, `${total.atomic ?? 0} atomic instructions; the pool has more`);
for (const failure of failures) console.error(`budget: ${failure}`);
process.exit(failures.length === 0 ? 0 : 1);
