// What a helper thread runs: an instance of the module over the memory of the one that started it, which sleeps inside
// until there is work. thread.ts is the Worker that does nothing else; Workers of others may call runThread.
import {nodeThreads} from './environment.ts';
import {makeImports} from './wasi.ts';

// The message that a helper is started with, and the two that it answers.
export interface ThreadStart {
  mote: 'thread';
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  index: number;
  stack: number;
  variables: number;
}
export type ThreadAnswer = {mote: 'ready'} | {mote: 'failed', message: string};

interface ThreadExports {
  __stack_pointer: WebAssembly.Global;
  __wasm_init_tls(variables: number): void;
  mote_thread_main(index: number): void;
}

// Returns only if the module cannot be started here.
export async function runThread(start: ThreadStart, answer: (message: ThreadAnswer) => void): Promise<void> {
  try {
    const hooks = {memory: start.memory, print: (line: string) => console.error(`mote: ${line}`)};
    const instance = await WebAssembly.instantiate(start.module, makeImports(start.module, hooks));
    const exports = instance.exports as unknown as ThreadExports;
    exports.__stack_pointer.value = start.stack;
    exports.__wasm_init_tls(start.variables);
    answer({mote: 'ready'});
    exports.mote_thread_main(start.index);
  } catch (error) {
    answer({mote: 'failed', message: error instanceof Error ? error.message : String(error)});
  }
}

function isStart(message: unknown): message is ThreadStart {
  return typeof message === 'object' && message !== null && (message as {mote?: unknown}).mote === 'thread';
}

// Waits for the first message, where this file is a thread's own.
export function listen(): void {
  const port = nodeThreads()?.parentPort;
  if (port != null) {
    port.once('message', (message) => {
      if (isStart(message)) void runThread(message, (answer) => port.postMessage(answer));
    });
  } else if (typeof document === 'undefined' && typeof self !== 'undefined' && nodeThreads() === null) {
    self.addEventListener('message', (event: MessageEvent) => {
      if (isStart(event.data)) void runThread(event.data, (answer) => self.postMessage(answer));
    }, {once: true});
  }
}
