// The page's side of the channel to the worker: calls that return promises, events on the way, and requests to stop.
import {CspError, DisposedError, InvalidArgumentError, ModuleError, fromRecord, throwIfAborted, type MoteError} from '../errors.ts';
import type {LogFunction} from '../cache/progress.ts';
import type {Event, FromWorker, Method, Methods, ToWorker} from '../protocol.ts';
import type {StopRequest} from '../worker/stopper.ts';
import {checkSignal} from './check.ts';

/** A worker, of a browser or of Node. */
export interface WorkerHandle {
  post(message: ToWorker, transfer: Transferable[]): void;
  onMessage(listener: (message: FromWorker) => void): void;
  /** Once, with why: it did not start, or it ended by itself. */
  onFailure(listener: (error: MoteError) => void): void;
  terminate(): void;
}

interface CallOptions {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: Event) => void) | undefined;
  transfer?: Transferable[];
  /** Of the session that the call computes on: where its flag lies in the module's memory. */
  cancelFlag?: number;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  onEvent: ((event: Event) => void) | undefined;
  cancelFlag: number | undefined;
  signal?: AbortSignal | undefined;
  cleanUp(): void;
}

/** The next piece of what the page feeds to the worker; null: its end. */
interface Puller {
  pull(): Promise<Uint8Array | null>;
  /** Nobody wants the rest. */
  cancel?(reason: unknown): void;
}

export class Channel {
  readonly #worker: WorkerHandle;
  readonly #pending = new Map<number, Pending>();
  readonly #pullers = new Map<number, Puller>();
  #next = 1;
  #failure: MoteError | null = null;
  #stopper: MessagePort | null = null;
  #ready!: () => void;
  readonly #started = new Promise<void>((resolve) => { this.#ready = resolve; });

  constructor(worker: WorkerHandle, log: LogFunction) {
    this.#worker = worker;
    worker.onFailure((error) => this.fail(error));
    worker.onMessage((message) => {
      if ('ready' in message) {
        this.#ready();
      } else if ('log' in message) {
        log(message.log, message.line);
      } else if ('pull' in message) {
        void this.#pull(message.pull);
      } else if ('event' in message) {
        const pending = this.#pending.get(message.id);
        if (pending && message.event.type === 'flag') {
          pending.cancelFlag = message.event.cancelFlag;
          if (pending.signal?.aborted) this.#stop(message.id, pending.cancelFlag);  // asked for before this was known
        }
        pending?.onEvent?.(message.event);
      } else {
        const pending = this.#pending.get(message.id);
        this.#pending.delete(message.id);
        pending?.cleanUp();
        if ('error' in message) {
          pending?.reject(fromRecord(message.error));
        } else {
          pending?.resolve(message.result);
        }
      }
    });
  }

  get failure(): MoteError | null {
    return this.#failure;
  }

  set stopper(port: MessagePort | null) {
    this.#stopper = port;
  }

  /** Registers what the worker may pull from. */
  feed(puller: Puller): number {
    const id = this.#next++;
    this.#pullers.set(id, puller);
    return id;
  }

  async #pull(feed: number): Promise<void> {
    try {
      const bytes = await this.#pullers.get(feed)!.pull();
      if (!bytes) this.#pullers.delete(feed);
      this.#worker.post({feed, bytes, error: null}, bytes ? [bytes.buffer as ArrayBuffer] : []);
    } catch (error) {
      this.#pullers.delete(feed);
      this.#worker.post({feed, bytes: null, error: error instanceof Error ? error.message : String(error)}, []);
    }
  }

  async call<M extends Method>(method: M, args: Methods[M][0], options: CallOptions = {}): Promise<Methods[M][1]> {
    const {signal, onEvent, transfer = [], cancelFlag} = options;
    if (this.#failure) throw this.#failure;
    checkSignal(signal);
    throwIfAborted(signal, method);
    const id = this.#next++;
    const result = new Promise<unknown>((resolve, reject) => {
      const stop = () => this.#stop(id, this.#pending.get(id)?.cancelFlag);
      signal?.addEventListener('abort', stop);
      this.#pending.set(id, {resolve, reject, onEvent, cancelFlag, signal, cleanUp: () => signal?.removeEventListener('abort', stop)});
    });
    try {
      this.#worker.post({id, method, args} as ToWorker, transfer);
    } catch (error) {
      this.#pending.get(id)?.cleanUp();
      this.#pending.delete(id);
      throw unsendable(error, transfer);
    }
    return await result as Methods[M][1];
  }

  // The message gets through when the worker's step is over; the stopper's flag, where memory is shared, in its midst.
  #stop(id: number, flag: number | undefined): void {
    this.#worker.post({abort: id}, []);
    if (flag !== undefined) this.#stopper?.postMessage({id, flag} satisfies StopRequest);
  }

  /** Resolves when the worker's script runs. */
  started(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) reject(this.#failure);
      this.#pending.set(-1, {resolve: () => {}, reject, onEvent: undefined, cancelFlag: undefined, cleanUp: () => {}});
      void this.#started.then(() => {
        this.#pending.delete(-1);
        resolve();
      });
    });
  }

  /** Ends the worker and every call. */
  fail(error: MoteError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#stopper?.close();
    this.#stopper = null;
    this.#worker.terminate();
    for (const pending of this.#pending.values()) {
      pending.cleanUp();
      pending.reject(error);
    }
    this.#pending.clear();
    for (const {cancel} of this.#pullers.values()) cancel?.(error);
    this.#pullers.clear();
  }

  async close(): Promise<void> {
    if (this.#failure) return;
    // What ends helpers properly, for a moment; then the worker, whatever it does.
    const asked = this.call('close', {}).catch(() => {});
    await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, 500))]);
    this.fail(new DisposedError('this Mote was disposed of'));
  }
}

// What does not go to a worker. A picture of another origin becomes a bitmap, but one that may not leave the page.
function unsendable(error: unknown, transfer: readonly Transferable[]): MoteError {
  const pictures = transfer.filter((one) => 'close' in one) as {close(): void}[];
  for (const picture of pictures) picture.close();
  const why = error instanceof Error ? error.message : String(error);
  return new InvalidArgumentError(pictures.length > 0
    ? `picture: it cannot be handed to the worker (${why}); it must come from this origin, or with CORS (crossorigin="anonymous")`
    : `an argument cannot be handed to the worker (${why}); functions, elements and the like cannot`, {}, error);
}

const POLICY_HINT = "must let the page start workers of its own origin: worker-src 'self'";

/** A browser's worker; `url`: what errors call it. */
export function browserWorker(worker: Worker, url: string): WorkerHandle {
  let blocked: string | null = null;
  const policy = ({effectiveDirective}: SecurityPolicyViolationEvent) => {
    // Where there is no worker-src, browsers look at these.
    if (/^(worker|child)-src$/.test(effectiveDirective)) blocked = effectiveDirective;
  };
  globalThis.document?.addEventListener('securitypolicyviolation', policy);
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: (listener) => { worker.onmessage = (event: MessageEvent<FromWorker>) => listener(event.data); },
    onFailure: (listener) => {
      worker.onerror = (event) => {
        event.preventDefault();
        // The report of the violation and the error come in no fixed order.
        setTimeout(() => {
          if (blocked) {
            listener(new CspError(`${url}: the worker was blocked by the directive ${blocked}. The Content-Security-Policy ` +
              POLICY_HINT, {url, directive: blocked}));
          } else if (event.message) {
            listener(new ModuleError(`${url}: the worker failed: ${event.message}`, {url}));
          } else {
            listener(new ModuleError(`${url}: the worker could not be started. Is the file there, served as text/javascript, ` +
              `and with the same Cross-Origin-Embedder-Policy as the page?`, {url}));
          }
        }, 50);
      };
    },
    terminate: () => {
      globalThis.document?.removeEventListener('securitypolicyviolation', policy);
      worker.onmessage = worker.onerror = null;
      worker.terminate();
    },
  };
}
