// Runs one WASI program under Node 24 or newer: node wasm_runner.mjs PROGRAM.wasm [argument...]
//
// MOTE_WASM_THREADS=N gives it N - 1 helper threads (1 to 64, default 1). With one the memory is not shared, as on a page
// that may not share any. Programs without the exports of targets/wasm run as they are.
//
// The program sees the folder that it is started in as ".", the folders beside it that tests read as "../shared", and
// the system's temporary folder as "/tmp"; WASI knows no other paths and no "..". Its environment is ours. The exit
// code is the program's; a trap (memory out of bounds, unreachable, stack overflow) is 134, as a native abort would be.
import {readFile} from 'node:fs/promises';
import {existsSync} from 'node:fs';
import {basename, resolve} from 'node:path';
import {availableParallelism, tmpdir} from 'node:os';
import {WASI} from 'node:wasi';
import {Worker} from 'node:worker_threads';
import {findMemoryImport, withPlainMemory} from '../../web/src/module/memory_import.ts';

const kTrapExitCode = 134;
// Node 20 computes i32x4.relaxed_dot_i8x16_i7x16_add_s wrongly; 24 is the oldest that was seen to be right.
const kOldestNode = 24;

const [program, ...programArguments] = process.argv.slice(2);
if (!program) {
  console.error('usage: node wasm_runner.mjs PROGRAM.wasm [argument...]');
  process.exit(2);
}
if (parseInt(process.versions.node, 10) < kOldestNode) {
  console.error(`wasm_runner: Node ${process.versions.node} is too old: want ${kOldestNode} or newer`);
  process.exit(2);
}

// The C library's working directory is "/": GoogleTest makes its output paths absolute with it.
const preopens = {'.': resolve('.'), '/': resolve('.'), '/tmp': tmpdir()};
const shared = resolve('../shared');
if (existsSync(shared)) preopens['../shared'] = shared;

const wasi = new WASI({
  version: 'preview1',
  args: [basename(program, '.wasm'), ...programArguments],
  env: process.env,
  preopens,
  returnOnExit: true,
});

// Helpers have to be there before the program runs: while it does, this thread starts nothing.
async function startHelpers(module, memory, exports, threads) {
  const count = exports.mote_threads_reserve(threads - 1);
  if (count !== threads - 1) throw new Error(`memory for ${count} of ${threads - 1} helpers`);
  await Promise.all(Array.from({length: count}, (_, i) => new Promise((resolve, reject) => {
    const index = i + 1;
    const helper = new Worker(new URL('./wasm_thread.mjs', import.meta.url), {
      workerData: {module, memory, index, stack: exports.mote_thread_stack(index),
                   variables: exports.mote_thread_variables(index)},
    });
    helper.once('message', resolve);
    helper.once('error', reject);
  })));
  exports.mote_threads_start(count, availableParallelism() >= threads ? 1 : 0);
}

async function run() {
  const threads = Number(process.env.MOTE_WASM_THREADS ?? 1);
  let bytes = await readFile(program);
  const {initial, maximum} = findMemoryImport(bytes);
  const shared = threads > 1;
  if (!shared) bytes = withPlainMemory(bytes);
  const memory = new WebAssembly.Memory({initial, maximum, shared});
  const module = await WebAssembly.compile(bytes);
  const instance = await WebAssembly.instantiate(module, {...wasi.getImportObject(), env: {memory}});
  if (shared && instance.exports.mote_threads_reserve) await startHelpers(module, memory, instance.exports, threads);
  return wasi.start(instance);
}

let exitCode;
try {
  exitCode = await run();
} catch (error) {
  console.error(`wasm_runner: ${basename(program)}: ${error.stack ?? error}`);
  exitCode = kTrapExitCode;
}
// Not by itself: helpers sleep in the module.
process.exit(exitCode);
