// A file by its URL, through the cache: from it where it is there and whole, else from the network, in passing into it.
import {CorruptedError, QuotaError, throwIfAborted} from '../errors.ts';
import type {CacheMode, LoadPhase, LogFunction, Sink} from './progress.ts';
import {Sha256, digest} from './sha256.ts';
import {DIGEST, PIECE, Store, isQuota, type Entry, type Writer} from './store.ts';
import {Transfer, factsOf, sameFile, type Facts, type Receiver, type Resume} from './transfer.ts';

interface UrlOptions {
  mode: CacheMode;
  /** Of the whole file, lower-case hexadecimal; null: not known. */
  sha256: string | null;
  /** Null: no cache. */
  store: Store | null;
  fetch: typeof fetch;
  headers: Record<string, string>;
  signal: AbortSignal | undefined;
  onProgress(phase: LoadPhase, loaded: number, total: number): void;
  log: LogFunction;
  /** Milliseconds before a broken connection is tried again the first time. Default 250. */
  pause?: number;
}

// How long a server may take to say whether the copy is still good.
const ASK_MS = 4000;

/** Writes the file into the sink; resolves to its size. */
export async function loadUrl(url: string, sink: Sink, options: UrlOptions): Promise<number> {
  const {store, mode} = options;
  if (!store || mode === 'no-store') return downloadPlain(url, sink, options);
  const name = await Store.nameOf(url);
  const wait = () => options.onProgress('waiting', 0, 0);
  let refused: Refusal = {stored: null, damaged: false};
  if (mode !== 'reload') {
    const read = await store.locked(name, 'shared', options.signal, wait,
                                    () => readCached(name, url, sink, options, store));
    if (typeof read === 'number') {
      if (options.sha256) await keepHash(name, options.sha256, store);
      return read;
    }
    refused = read;
  }
  return store.locked(name, 'exclusive', options.signal, wait, async () => {
    // Another tab may have fetched it while this one waited; what it has just put there is fresh.
    const stored = (await store.entry(name))?.stored ?? null;
    if (refused.damaged && stored === refused.stored) await store.forget(name, 'complete');
    if (stored && stored !== refused.stored && mode !== 'reload') {
      const read = await readCached(name, url, sink, {...options, mode: 'force-cache'}, store);
      if (typeof read === 'number') return read;
    }
    return downloadCached(name, url, sink, options, store);
  });
}

// ---- From the cache --------------------------------------------------------------------------------------------------

// A hash that has just been found right is written down, so that the next load asks nobody. Another tab that reads the
// file is not waited for: then a later load does it.
async function keepHash(name: string, sha256: string, store: Store): Promise<void> {
  const begin = await store.entry(name);
  if (!begin || begin.sha256) return;
  await store.ifFree(name, async () => {
    const entry = await store.entry(name);
    if (entry?.stored === begin.stored && !entry.sha256) await store.putEntry(`${name}.json`, {...entry, sha256});
  }).catch(() => {});  // a disk without room for it serves as before
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

// Checks pieces and hands them on, the next one being read meanwhile. Returns how many bytes were right from the start.
async function readPieces(data: Blob, sums: Uint8Array, size: number, signal: AbortSignal | undefined,
                          take: (piece: Uint8Array<ArrayBuffer>, at: number) => Promise<void> | void): Promise<number> {
  const read = (at: number) => data.slice(at, Math.min(at + PIECE, size)).arrayBuffer();
  let next: Promise<ArrayBuffer> | null = size > 0 ? read(0) : null;
  for (let at = 0; at < size; at += PIECE) {
    throwIfAborted(signal, 'reading the cache');
    const piece = new Uint8Array(await next!);
    next = at + PIECE < size ? read(at + PIECE) : null;
    const place = at / PIECE * DIGEST;
    if (!equal(await digest(piece), sums.subarray(place, place + DIGEST))) {
      next?.catch(() => {});
      return at;
    }
    await take(piece, at);
  }
  return size;
}

// A copy that is not good enough: when it was stored (null: there is none).
interface Refusal {
  stored: string | null;
  damaged: boolean;
}

// The file's size, where the copy is good.
async function readCached(name: string, url: string, sink: Sink, options: UrlOptions,
                          store: Store): Promise<number | Refusal> {
  const entry = await store.entry(name);
  if (!entry) return {stored: null, damaged: false};
  const refused = {stored: entry.stored, damaged: false};
  const {sha256, log, mode} = options;
  if (sha256 && entry.sha256 && entry.sha256 !== sha256) return refused;
  if (mode === 'no-cache' || (mode === 'default' && !(sha256 && entry.sha256))) {
    const answer = await askServer(url, entry, options);
    if (answer === 'other') {
      log('info', `${url}: the server has another file by now; it is fetched again`);
      options.onProgress('stale', 0, entry.total);
    }
    // Without an answer the copy is as good as it gets, for who has not asked to be sure.
    if (answer === 'other' || (answer === 'none' && mode === 'no-cache')) return refused;
  }
  const contents = await store.contents(name);
  let right = 0;
  if (contents && entry.total > 0 && contents.data.size === entry.total) {
    const check = sha256 && !entry.sha256 ? new Sha256() : null;
    await sink.begin(entry.total);
    right = await readPieces(contents.data, contents.sums, entry.total, options.signal, async (piece, at) => {
      check?.update(piece);
      await sink.write(piece);
      options.onProgress('cache', at + piece.length, entry.total);
    });
    if (right === entry.total && (!check || check.hex() === sha256)) return entry.total;
  }
  log('warning', `${url}: the copy in the cache is damaged (right up to byte ${right} of ${entry.total}); it is deleted ` +
    `and fetched again`);
  options.onProgress('corrupted', right, entry.total);
  return {...refused, damaged: true};
}

// Whether the server still has the file of the copy.
async function askServer(url: string, entry: Entry, options: UrlOptions): Promise<'same' | 'other' | 'none'> {
  const timeout = AbortSignal.timeout(ASK_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  try {
    const response = await options.fetch(url, {method: 'HEAD', headers: options.headers, cache: 'no-cache', signal});
    if (!response.ok) return 'none';
    return sameFile(factsOf(response), {...entry, total: entry.announced ?? entry.total}) ? 'same' : 'other';
  } catch {
    throwIfAborted(options.signal, url);
    return 'none';
  }
}

// ---- From the network ------------------------------------------------------------------------------------------------

function checkWhole(url: string, given: string | null, found: Sha256 | null): void {
  const hex = found?.hex();
  if (!given || hex === given) return;
  throw new CorruptedError(`${url}: its SHA-256 is ${hex}, not ${given}; it is not kept`, {url, expected: given, found: hex!});
}

// Hands bytes to the sink; where the size is not known beforehand, collects them first.
class Feed implements Receiver {
  readonly #sink: Sink;
  readonly #wanted: boolean;
  readonly #progress: (loaded: number, total: number) => void;
  #held: Uint8Array[] | null = null;
  #total = 0;
  loaded = 0;
  hash: Sha256 | null = null;

  constructor(sink: Sink, hashed: boolean, progress: (loaded: number, total: number) => void) {
    this.#sink = sink;
    this.#wanted = hashed;
    this.#progress = progress;
  }

  async start({total}: Facts): Promise<void> {
    this.loaded = 0;
    this.#total = total;
    this.#held = total ? null : [];
    this.hash = this.#wanted ? new Sha256() : null;
    if (total) await this.#sink.begin(total);
    this.#progress(0, total);
  }

  /** The sink has begun, and has what an earlier visit left. */
  resume({at, facts}: Resume, hash: Sha256 | null): void {
    this.hash = hash;
    this.loaded = at;
    this.#total = facts.total;
  }

  async take(bytes: Uint8Array): Promise<void> {
    // More than was announced never reaches the sink; the transfer says what is wrong with it.
    if (this.#total && this.loaded + bytes.length > this.#total) return;
    this.hash?.update(bytes);
    this.loaded += bytes.length;
    if (this.#held) {
      this.#held.push(bytes);
    } else {
      await this.#sink.write(bytes);
    }
    this.#progress(this.loaded, this.#total);
  }

  async end(): Promise<void> {
    if (!this.#held) return;
    await this.#sink.begin(this.loaded);
    for (const bytes of this.#held) await this.#sink.write(bytes);
    this.#held = null;
  }
}

function transferOptions(options: UrlOptions, isKept: () => boolean) {
  const {fetch, headers, signal, pause} = options;
  const onResume = (at: number, total: number) => options.onProgress('resume', at, total);
  return {fetch, headers, signal, pause: pause ?? 250, onResume, isKept};
}

async function downloadPlain(url: string, sink: Sink, options: UrlOptions): Promise<number> {
  const feed = new Feed(sink, options.sha256 !== null, (loaded, total) => options.onProgress('download', loaded, total));
  await new Transfer(url, feed, transferOptions(options, () => false)).run(null);
  checkWhole(url, options.sha256, feed.hash);
  await feed.end();
  return feed.loaded;
}

const canResume = ({total, etag, lastModified}: Facts) => total > 0 && Boolean(etag || lastModified);

// Cuts a stream into pieces, hashes each and writes it behind the others.
class Keeper {
  readonly #store: Store;
  readonly #name: string;
  readonly #url: string;
  readonly #piece = new Uint8Array(PIECE);
  #filled = 0;
  #pieces = 0;
  #data: Writer | null = null;
  #sums: Writer | null = null;
  #opened = false;
  #tells = false;  // the server said what a later load needs: the size, and what tells versions apart

  constructor(store: Store, name: string, url: string) {
    this.#store = store;
    this.#name = name;
    this.#url = url;
  }

  /** Begun, and without a piece that a later visit could take up. */
  get isEmpty(): boolean {
    return this.#opened && this.#pieces === 0;
  }

  get isKept(): boolean {
    return this.#pieces > 0 && this.#tells;
  }

  // `pieces`: so many are there and right. The description comes before the bytes: without it they mean nothing.
  async open(facts: Facts, pieces: number): Promise<void> {
    this.close();
    this.#opened = true;
    this.#pieces = pieces;
    this.#tells = canResume(facts);
    if (pieces === 0) {
      await this.#store.forget(this.#name, 'part');
      await this.#store.putEntry(`${this.#name}.part.json`, {
        url: this.#url, size: 0, ...facts, sha256: null, stored: new Date().toISOString(), complete: false,
      });
    }
    this.#data = await this.#store.writer(`${this.#name}.part`);
    this.#sums = await this.#store.writer(`${this.#name}.part.sums`);
    this.#data.truncate(pieces * PIECE);
    this.#sums.truncate(pieces * DIGEST);
    this.#filled = 0;
  }

  async take(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(PIECE - this.#filled, bytes.length - at);
      this.#piece.set(bytes.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled === PIECE) await this.#write();
    }
  }

  async #write(): Promise<void> {
    const piece = this.#piece.subarray(0, this.#filled);
    const sum = await digest(piece);
    // The hash comes last: a piece without one is not there.
    this.#data!.write(piece, this.#pieces * PIECE);
    this.#sums!.write(sum, this.#pieces * DIGEST);
    ++this.#pieces;
    this.#filled = 0;
  }

  async end(): Promise<void> {
    if (this.#filled > 0) await this.#write();
    this.#data!.flush();
    this.#sums!.flush();
    this.close();
  }

  close(): void {
    this.#data?.close();
    this.#sums?.close();
    this.#data = this.#sums = null;
  }
}

// An older copy stays until the new one is whole, unless its room is needed.
async function checkRoom(store: Store, name: string, url: string, total: number, there: number): Promise<void> {
  if (!total) return;
  const needed = total - there + Math.ceil(total / PIECE) * DIGEST + 4096;
  if (needed <= await store.room()) return;
  await store.forget(name, 'complete');
  const free = await store.room();
  if (needed <= free) return;
  throw new QuotaError(`${url}: ${needed} bytes are needed, the browser's storage has ${Math.floor(free)} left for this ` +
    `site. Free some (Mote.cache.delete), or load with cache: 'no-store'`, {url, needed, free: Math.floor(free)});
}

// What an interrupted download left, as far as its hashes are right; the sink has it already.
async function takeUpPart(name: string, sink: Sink, hash: Sha256 | null, options: UrlOptions,
                          store: Store): Promise<Resume | null> {
  const entry = await store.partEntry(name);
  const contents = entry && await store.contents(name, true);
  if (!contents || !canResume(entry)) return null;
  const pieces = Math.min(Math.floor(contents.data.size / PIECE), Math.floor(contents.sums.length / DIGEST));
  if (pieces === 0 || pieces * PIECE >= entry.total) return null;
  await sink.begin(entry.total);
  const at = await readPieces(contents.data, contents.sums, pieces * PIECE, options.signal, (piece) => {
    hash?.update(piece);
    return sink.write(piece);
  });
  return at > 0 ? {at, facts: entry} : null;
}

async function downloadCached(name: string, url: string, sink: Sink, options: UrlOptions, store: Store): Promise<number> {
  const hash = options.sha256 ? new Sha256() : null;
  const resume = options.mode === 'reload' ? null : await takeUpPart(name, sink, hash, options, store);
  const keeper = new Keeper(store, name, url);
  const feed = new Feed(sink, options.sha256 !== null, (loaded, total) => options.onProgress('download', loaded, total));
  let total = resume?.facts.total ?? 0;
  const receiver: Receiver = {
    start: async (facts) => {
      total = facts.total;
      await checkRoom(store, name, url, facts.total, 0);
      await keeper.open(facts, 0);
      await feed.start(facts);
    },
    take: async (bytes) => {
      await keeper.take(bytes);
      await feed.take(bytes);
    },
  };
  try {
    if (resume) {
      await checkRoom(store, name, url, resume.facts.total, resume.at);
      await keeper.open(resume.facts, resume.at / PIECE);
      feed.resume(resume, hash);
      options.log('info', `${url}: an interrupted download goes on at byte ${resume.at} of ${resume.facts.total}`);
      options.onProgress('resume', resume.at, resume.facts.total);
    }
    const facts = await new Transfer(url, receiver, transferOptions(options, () => keeper.isKept)).run(resume);
    checkWhole(url, options.sha256, feed.hash);
    await keeper.end();
    await store.commit(name, {
      url, size: facts.total, ...facts, sha256: options.sha256, stored: new Date().toISOString(), complete: true,
    });
    await feed.end();
    return facts.total;
  } catch (error) {
    keeper.close();
    // Wrong bytes, bytes that there is no room for, and none at all are of no use later; those of a broken connection
    // are.
    const full = error instanceof QuotaError || isQuota(error);
    const useless = full || error instanceof CorruptedError || keeper.isEmpty;
    if (useless) await store.forget(name, 'part').catch(() => {});
    if (!isQuota(error)) throw error;
    const free = Math.floor(await store.room());
    throw new QuotaError(`${url}: the browser's storage is full. Free some (Mote.cache.delete), or load with ` +
      `cache: 'no-store'`, {url, needed: total || feed.loaded, free}, error);
  }
}
