// The bytes of a model's files, from wherever they are, into one allocation of the module's memory each: no other copy
// of a file is ever whole.
import {loadUrl} from '../cache/load_url.ts';
import type {CacheMode, LoadPhase, LogFunction, Sink} from '../cache/progress.ts';
import {Store} from '../cache/store.ts';
import {factsOf} from '../cache/transfer.ts';
import {AbortedError, InvalidArgumentError, MalformedError, NetworkError, NotFoundError, throwIfAborted} from '../errors.ts';
import type {Allocation, Module} from '../module/types.ts';
import type {WireSource} from '../protocol.ts';
import {joinHeaders, placeParts} from './parts.ts';

export interface SourceOptions {
  cache: CacheMode;
  store: Store | null;
  signal: AbortSignal;
  onProgress(phase: LoadPhase, loaded: number, total: number): void;
  log: LogFunction;
  /** The next piece of a source that the page sends; null: its end. */
  pull(feed: number): Promise<Uint8Array | null>;
  /** A file of Node's file system. */
  openPath: (path: string) => Promise<Blob>;
}

/** The options of one file of several, which `signal` stops. */
export type OptionsOf = (file: number, signal: AbortSignal) => SourceOptions;

// What may wait for the module to start. A browser holds little itself, and drops it where the connection breaks.
const MOST_WAITING = 16 << 20;

/** Writes into the module's memory; the module may still be starting. */
export class MemorySink implements Sink {
  readonly #module: Promise<Module>;
  #file: Allocation | null = null;
  #opening: Promise<void> | null = null;
  #waiting: Uint8Array[] = [];
  #held = 0;   // bytes of these
  #total = 0;
  #at = 0;     // bytes that came
  #done = 0;   // bytes in the file

  constructor(module: Promise<Module>) {
    this.#module = module;
  }

  begin(total: number): void {
    if (total <= 0) throw new InvalidArgumentError('the model file is empty (0 bytes)');
    this.#at = this.#done = this.#held = 0;
    this.#waiting = [];
    if (this.#total === total) return;
    this.#file?.free();
    this.#file = null;
    this.#total = total;
    const opening = this.#open(total);
    // Whoever writes hears of its failure.
    opening.catch(() => {});
    this.#opening = opening;
  }

  async #open(total: number): Promise<void> {
    const module = await this.#module;
    if (this.#total === total && !this.#file) this.#file = module.allocate(total);
  }

  #drain(): void {
    for (const bytes of this.#waiting.splice(0)) {
      this.#file!.write(this.#done, bytes);
      this.#done += bytes.length;
    }
    this.#held = 0;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#at + bytes.length > this.#total) {
      throw new InvalidArgumentError(`the file is longer than the ${this.#total} bytes that were announced`);
    }
    this.#at += bytes.length;
    this.#waiting.push(bytes);
    this.#held += bytes.length;
    if (!this.#file && this.#held > MOST_WAITING) await this.#opening;
    if (this.#file) this.#drain();
  }

  /** The whole file; the caller has it from here on. */
  async take(): Promise<Allocation> {
    await this.#opening;
    const file = this.#file!;
    this.#drain();
    if (this.#at < this.#total) throw new InvalidArgumentError(`the file ended at byte ${this.#at}; ${this.#total} were announced`);
    this.#file = null;
    return file;
  }

  free(): void {
    this.#total = 0;
    this.#waiting = [];
    this.#file?.free();
    this.#file = null;
  }
}

/** A part of a model, written to its place among the others. */
class PartSink implements Sink {
  readonly #file: Allocation;
  readonly #place: number;
  readonly #size: number;
  readonly #name: string;
  #at = 0;

  constructor(file: Allocation, place: number, size: number, name: string) {
    this.#file = file;
    this.#place = place;
    this.#size = size;
    this.#name = name;
  }

  begin(total: number): void {
    this.#at = 0;
    if (total === this.#size) return;
    throw new InvalidArgumentError(`${this.#name}: it was said to have ${this.#size} bytes, and has ${total}`);
  }

  write(bytes: Uint8Array): void {
    if (this.#at + bytes.length > this.#size) {
      throw new InvalidArgumentError(`${this.#name}: it is longer than the ${this.#size} bytes that were announced`);
    }
    this.#file.write(this.#place + this.#at, bytes);
    this.#at += bytes.length;
  }
}

// Asked of the server; without a network, of the cache.
async function sizeOf(source: WireSource, options: SourceOptions): Promise<number> {
  if (source.kind === 'blob') return source.blob.size;
  if (source.kind === 'path') return (await options.openPath(source.path)).size;
  let size = source.kind === 'feed' ? source.size : 0;
  if (source.kind === 'url') {
    const {url, headers} = source;
    try {
      const response = await fetch(url, {method: 'HEAD', headers, cache: 'no-cache', signal: options.signal});
      if (response.ok) size = factsOf(response).total;
    } catch {
      throwIfAborted(options.signal, url);
    }
    if (!size && options.store) size = (await options.store.entry(await Store.nameOf(url)))?.total ?? 0;
  }
  if (size > 0) return size;
  throw new InvalidArgumentError(`${nameOf(source) || 'a part'}: the size of each part must be known before the first is read; ` +
    'streams want {stream, size}, servers must announce a Content-Length');
}

/** Runs all jobs at once, with a signal that stops the others when one fails; all have ended when this does. Throws the
 * failure that was the first. */
export async function together<T>(signal: AbortSignal, jobs: readonly ((signal: AbortSignal) => Promise<T>)[]): Promise<T[]> {
  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  let first: {error: unknown} | null = null;
  const ended = await Promise.allSettled(jobs.map((job) => job(both).catch((error: unknown) => {
    first ??= {error};
    failed.abort();
    throw error;
  })));
  if (first !== null) throw (first as {error: unknown}).error;
  return ended.map((one) => (one as PromiseFulfilledResult<T>).value);
}

/** Several parts, one behind the other, joined into one file. */
export async function readParts(sources: readonly WireSource[], starting: Promise<Module>,
                                signal: AbortSignal, optionsOf: OptionsOf): Promise<Allocation> {
  const sizes = await Promise.all(sources.map((source, part) => sizeOf(source, optionsOf(part, signal))));
  const {places, total} = placeParts(sizes);
  const file = (await starting).allocate(total);
  const names = sources.map((source, part) => nameOf(source) || `part ${part + 1}`);
  try {
    // A part that is refused must have ended the others before their memory goes.
    await together(signal, sources.map((source, part) => (stop) =>
      readSource(source, new PartSink(file, places[part]!, sizes[part]!, names[part]!), optionsOf(part, stop))));
    const options = optionsOf(0, signal);
    await joined(sources, options, () => file.write(0, joinHeaders(sizes, names, (at, size) => file.bytes(at, size))));
    return file;
  } catch (error) {
    file.free();
    throw error;
  }
}

async function joined(sources: readonly WireSource[], {store, log}: SourceOptions, join: () => void): Promise<void> {
  try {
    join();
  } catch (error) {
    if (error instanceof MalformedError) await forgetCopies(sources, store, log);
    throw error;
  }
}

/** What was read from the cache, or into it, and is no model. */
export async function forgetCopies(sources: readonly WireSource[], store: Store | null, log: LogFunction): Promise<void> {
  for (const source of sources) {
    if (!store || source.kind !== 'url') continue;
    const gone = await store.delete(source.url).catch(() => false);
    if (gone) log('warning', `${nameOf(source)}: it is malformed; the copy in the cache is deleted, and the next load fetches it anew`);
  }
}

const BLOB_PIECE = 4 << 20;

async function readBlob(blob: Blob, sink: Sink, options: SourceOptions): Promise<void> {
  await sink.begin(blob.size);
  for (let at = 0; at < blob.size; at += BLOB_PIECE) {
    throwIfAborted(options.signal, 'reading the file');
    let piece;
    try {
      piece = new Uint8Array(await blob.slice(at, at + BLOB_PIECE).arrayBuffer());
    } catch (error) {
      throw new NotFoundError('the file cannot be read any more; was it changed or removed since it was chosen?', {}, error);
    }
    await sink.write(piece);
    options.onProgress('local', at + piece.length, blob.size);
  }
}

// A page's stream may take any time for its next piece; nobody waits for that who was told to stop.
function unlessStopped<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new AbortedError('reading the stream: stopped', {}, signal.reason));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

async function readFeed(source: Extract<WireSource, {kind: 'feed'}>, sink: Sink, options: SourceOptions): Promise<void> {
  const held: Uint8Array[] = [];
  let loaded = 0;
  if (source.size) await sink.begin(source.size);
  for (;;) {
    const piece = await unlessStopped(options.pull(source.feed), options.signal);
    if (!piece) break;
    loaded += piece.length;
    if (source.size) {
      await sink.write(piece);
    } else {
      held.push(piece);
    }
    options.onProgress('local', loaded, source.size);
  }
  if (source.size) return;
  // Its size is only known now.
  await sink.begin(loaded);
  for (const piece of held) await sink.write(piece);
}

export async function readSource(source: WireSource, sink: Sink, options: SourceOptions): Promise<void> {
  if (source.kind === 'blob') return readBlob(source.blob, sink, options);
  if (source.kind === 'feed') return readFeed(source, sink, options);
  if (source.kind === 'path') return readBlob(await options.openPath(source.path), sink, options);
  const {store, cache, signal, onProgress, log} = options;
  const {url} = source;
  if (url.startsWith('blob:') || url.startsWith('data:')) {
    const response = await fetch(url, {signal}).catch((error: unknown) => {
      throw new NetworkError(`${url.slice(0, 60)}: it cannot be read`, {}, error);
    });
    return readBlob(await response.blob(), sink, options);
  }
  await loadUrl(url, sink, {
    mode: cache, sha256: source.sha256, headers: source.headers, store, signal, onProgress, log,
    fetch: (...words) => fetch(...words),
  });
}

export function nameOf(source: WireSource): string {
  if (source.kind === 'url') return source.url.startsWith('data:') ? 'data:' : source.url;
  return source.kind === 'path' ? source.path : source.name;
}
