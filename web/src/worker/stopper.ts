// A thread that only sets flags: requests to stop, while the worker computes and hears nothing. The page cannot do it
// itself: who has seen a shared memory keeps it alive until the garbage collector comes by, long after dispose().

/** What the thread is started with. `memory`: the memory, not its buffer, which ends where the memory ended when it was
 * taken. `active`: the id of the request that may be stopped. */
export interface StopperStart {
  stopper: true;
  memory: WebAssembly.Memory;
  active: SharedArrayBuffer;
  port: MessagePort;
}

/** From the page, through the port: the request, and where its session's flag lies. */
export interface StopRequest {
  id: number;
  flag: number;
}

export function isStopperStart(message: unknown): message is StopperStart {
  return typeof message === 'object' && message !== null && (message as {stopper?: unknown}).stopper === true;
}

export function runStopper({memory, active, port}: StopperStart): void {
  port.onmessage = ({data}: MessageEvent<StopRequest>) => {
    // A late request must not stop the next answer.
    if (Atomics.load(new Int32Array(active), 0) !== data.id) return;
    Atomics.store(new Uint8Array(memory.buffer), data.flag, 1);
  };
}
