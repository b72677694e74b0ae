// The worker in Node; and, started again by itself, its stopper.
import {openAsBlob} from 'node:fs';
import {Worker, parentPort, workerData, type Transferable as NodeTransferable} from 'node:worker_threads';
import {NotFoundError} from '../errors.ts';
import {serve} from './serve.ts';
import {isStopperStart, runStopper} from './stopper.ts';

const transferable = (list: Transferable[]) => list as unknown as NodeTransferable[];

if (isStopperStart(workerData)) {
  runStopper(workerData);
} else {
  const port = parentPort!;
  serve({
    post: (message, transfer = []) => port.postMessage(message, transferable(transfer)),
    onMessage: (listener) => { port.on('message', listener); },
  }, {
    openPath: async (path) => {
      try {
        return await openAsBlob(path);
      } catch (error) {
        throw new NotFoundError(`${path}: it cannot be read (${error instanceof Error ? error.message : error})`, {}, error);
      }
    },
    startStopper: (start) => {
      new Worker(new URL(import.meta.url), {workerData: start, transferList: transferable([start.port])}).unref();
    },
  });
}
