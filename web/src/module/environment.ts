// Where this runs: a browser's Worker or Node. Node's own modules are reached without an import, which bundlers for
// browsers would stumble over.

interface NodeWorker {
  postMessage(message: unknown): void;
  on(event: string, listener: (value: unknown) => void): void;
  terminate(): Promise<number>;
  unref(): void;
}
interface NodeProcess {
  versions?: {node?: string};
  getBuiltinModule?(name: string): unknown;
}
interface NodeThreads {
  Worker: new(url: URL, options?: object) => NodeWorker;
  parentPort: {postMessage(message: unknown): void, once(event: string, listener: (value: unknown) => void): void} | null;
}
interface NodeFiles {
  readFile(url: URL): Promise<Uint8Array>;
}
interface NodeSystem {
  availableParallelism(): number;
}

function nodeModule<T>(name: string): T | null {
  const {process} = globalThis as {process?: NodeProcess};
  if (process?.versions?.node === undefined || process.getBuiltinModule === undefined) return null;
  return process.getBuiltinModule(name) as T;
}

export const nodeThreads = (): NodeThreads | null => nodeModule<NodeThreads>('node:worker_threads');
export const nodeFiles = (): NodeFiles | null => nodeModule<NodeFiles>('node:fs/promises');

// CPUs that this process may use; what browsers do not tell is guessed as 4.
export function processors(): number {
  const node = nodeModule<NodeSystem>('node:os');
  if (node !== null) return node.availableParallelism();
  return globalThis.navigator?.hardwareConcurrency ?? 4;
}

// Whether this thread may sleep. A page's main thread may not.
export function mayWait(): boolean {
  return nodeThreads() !== null || typeof document === 'undefined';
}

// Whether memory can be shared with other threads here.
export function mayShare(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false;
  return nodeThreads() !== null || (globalThis as {crossOriginIsolated?: boolean}).crossOriginIsolated === true;
}
