// The worker in a browser; and, started again by itself under another name, its stopper.
import {UnsupportedError} from '../errors.ts';
import type {ToWorker} from '../protocol.ts';
import {serve} from './serve.ts';
import {isStopperStart, runStopper} from './stopper.ts';

// The types of a page are loaded, not those of a worker.
interface WorkerScope {
  name: string;
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent<unknown>) => void) | null;
}
const scope = globalThis as unknown as WorkerScope;
const STOPPER = 'mote-stopper';

if (scope.name === STOPPER) {
  scope.onmessage = ({data}) => { if (isStopperStart(data)) runStopper(data); };
} else {
  serve({
    post: (message, transfer = []) => scope.postMessage(message, transfer),
    onMessage: (listener) => { scope.onmessage = ({data}) => listener(data as ToWorker); },
  }, {
    openPath: async (path) => { throw new UnsupportedError(`${path}: a browser opens URLs, files and buffers, no paths`); },
    startStopper: (start) => new Worker(globalThis.location.href, {type: 'module', name: STOPPER}).postMessage(start, [start.port]),
  });
}
