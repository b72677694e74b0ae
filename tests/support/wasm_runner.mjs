// Runs one WASI program under Node 24 or newer: node wasm_runner.mjs PROGRAM.wasm [argument...]
//
// The program sees the folder that it is started in as ".", the folders beside it that tests read as "../shared", and
// the system's temporary folder as "/tmp"; WASI knows no other paths and no "..". Its environment is ours. The exit
// code is the program's; a trap (memory out of bounds, unreachable, stack overflow) is 134, as a native abort would be.
import {readFile} from 'node:fs/promises';
import {existsSync} from 'node:fs';
import {basename, resolve} from 'node:path';
import {tmpdir} from 'node:os';
import {WASI} from 'node:wasi';

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

let exitCode;
try {
  const module = await WebAssembly.compile(await readFile(program));
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
  exitCode = wasi.start(instance);
} catch (error) {
  console.error(`wasm_runner: ${basename(program)}: ${error.stack ?? error}`);
  exitCode = kTrapExitCode;
}
process.exitCode = exitCode;
