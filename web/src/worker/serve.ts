// The worker's side of the channel: requests in, events and results out.
import {NetworkError, toRecord} from '../errors.ts';
import type {LogFunction} from '../cache/progress.ts';
import type {Port, ToWorker} from '../protocol.ts';
import {Engine, type Surroundings} from './engine.ts';

interface Feed {
  resolve(bytes: Uint8Array | null): void;
  reject(error: Error): void;
}

// Arrays of numbers are moved, not copied; nothing here keeps them.
function transferable(result: unknown): Transferable[] {
  const {stop} = (result ?? {}) as {stop?: unknown};
  if (stop instanceof MessagePort) return [stop];
  return ArrayBuffer.isView(result) && result.buffer instanceof ArrayBuffer ? [result.buffer] : [];
}

export function serve(port: Port, around: Surroundings): void {
  const log: LogFunction = (level, line) => port.post({log: level, line});
  const engine = new Engine(around, log);
  const running = new Map<number, AbortController>();
  const feeds = new Map<number, Feed>();

  const pull = (feed: number) => new Promise<Uint8Array | null>((resolve, reject) => {
    feeds.set(feed, {resolve, reject});
    port.post({pull: feed});
  });

  const run = async (message: Extract<ToWorker, {method: string}>) => {
    const {id, method, args} = message;
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const result = await engine.call(method, args as never, {
        id, signal: controller.signal, pull, tell: (event) => port.post({id, event}),
      });
      port.post({id, result}, transferable(result));
    } catch (error) {
      port.post({id, error: toRecord(error)});
    } finally {
      running.delete(id);
    }
  };

  port.onMessage((message) => {
    if ('method' in message) {
      void run(message);
    } else if ('abort' in message) {
      running.get(message.abort)?.abort();
    } else {
      const feed = feeds.get(message.feed);
      feeds.delete(message.feed);
      if (message.error !== null) {
        feed?.reject(new NetworkError(`the stream failed: ${message.error}`));
      } else {
        feed?.resolve(message.bytes);
      }
    }
  });
  port.post({ready: true});
}
