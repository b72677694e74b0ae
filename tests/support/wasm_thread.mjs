// A helper thread of wasm_runner.mjs: an instance of its own over the program's memory, which sleeps until a pool of
// the program has work for it. Of the system it has the clocks.
import {writeSync} from 'node:fs';
import {parentPort, workerData} from 'node:worker_threads';

const {module, memory, index, stack, variables} = workerData;
const kNotSupported = 58;

const wasi = new Proxy({
  clock_time_get(clock, precision, result) {
    const now = clock === 0 ? BigInt(Date.now()) * 1000000n : process.hrtime.bigint();
    new DataView(memory.buffer).setBigUint64(result, now, true);
    return 0;
  },
  proc_exit(code) {
    writeSync(2, `wasm_thread: helper ${index} ended the program with ${code}\n`);
    process.exit(code);
  },
}, {get: (functions, name) => functions[name] ?? (() => kNotSupported)});

const instance = await WebAssembly.instantiate(module, {wasi_snapshot_preview1: wasi, env: {memory}});
instance.exports.__stack_pointer.value = stack;
instance.exports.__wasm_init_tls(variables);
parentPort.postMessage('ready');
try {
  instance.exports.mote_thread_main(index);
} catch (error) {
  writeSync(2, `wasm_thread: helper ${index}: ${error.stack ?? error}\n`);
  process.exit(134);
}
