// The worker in a browser.
import {UnsupportedError} from '../errors.ts';
import type {ToWorker} from '../protocol.ts';
import {serve} from './serve.ts';

// The types of a page are loaded, not those of a worker.
interface WorkerScope {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
}
const scope = globalThis as unknown as WorkerScope;

serve({
  post: (message, transfer = []) => scope.postMessage(message, transfer),
  onMessage: (listener) => { scope.onmessage = (event) => listener(event.data); },
}, {
  openPath: async (path) => { throw new UnsupportedError(`${path}: a browser opens URLs, files and buffers, no paths`); },
});
