// The worker in Node.
import {openAsBlob} from 'node:fs';
import {parentPort, type Transferable as NodeTransferable} from 'node:worker_threads';
import {NotFoundError} from '../errors.ts';
import {serve} from './serve.ts';

const port = parentPort!;
serve({
  post: (message, transfer = []) => port.postMessage(message, transfer as unknown as NodeTransferable[]),
  onMessage: (listener) => { port.on('message', listener); },
}, {
  openPath: async (path) => {
    try {
      return await openAsBlob(path);
    } catch (error) {
      throw new NotFoundError(`${path}: it cannot be read (${error instanceof Error ? error.message : error})`, {}, error);
    }
  },
});
