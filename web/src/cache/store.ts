// The cache of model files in the origin private file system: one folder, and for each URL a name made of its SHA-256:
//
//   NAME.gguf  the file         NAME.sums  the SHA-256 of each piece of it, 32 bytes each       NAME.json  what it is
//   NAME.part  a download that is not finished, with its own NAME.part.sums and NAME.part.json
//
// A file counts as there when its NAME.json is, which is moved into place last. Whoever writes holds the Web Lock of
// the name alone, whoever reads shares it, so tabs do not meet.
import {digest} from './sha256.ts';

/** Bytes that have one hash, and that are read, checked and written at once. */
export const PIECE = 1 << 20;
export const DIGEST = 32;
const FOLDER = 'mote-models';
const FORMAT = 1;

/** A file in the cache, for people and programs. */
export interface CachedFile {
  url: string;
  /** Bytes. */
  size: number;
  etag: string | null;
  lastModified: string | null;
  /** Of the whole file, where a caller had given it and it was right. */
  sha256: string | null;
  /** When it was complete, in ISO 8601. */
  stored: string;
  /** False: an interrupted download, of which `size` bytes are there. */
  complete: boolean;
}

export interface Entry extends CachedFile {
  format: number;
  /** Of the complete file. */
  total: number;
  /** What the server announces instead (Facts). */
  announced?: number;
}

/** What is used of the browser, so that tests can stand in for it. */
interface StoreSystem {
  root(): Promise<FileSystemDirectoryHandle>;
  locks: Pick<LockManager, 'request'> | undefined;
  estimate(): Promise<StorageEstimate>;
}

function browserSystem(): StoreSystem | null {
  const storage = globalThis.navigator?.storage;
  if (!storage?.getDirectory || !globalThis.crypto?.subtle) return null;
  return {
    root: () => storage.getDirectory(),
    locks: navigator.locks,
    estimate: () => storage.estimate(),
  };
}

// What the types of a page do not have: `move` is not everywhere, and `createSyncAccessHandle` is in workers only.
interface WorkerHandle extends FileSystemFileHandle {
  move?(name: string): Promise<void>;
  createSyncAccessHandle(): Promise<{
    write(bytes: Uint8Array, options: {at: number}): number;
    truncate(size: number): void;
    flush(): void;
    close(): void;
  }>;
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && error.name === 'NotFoundError';
}

/** Whether the browser says that there is no room. */
export function isQuota(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError';
}

/** A file that one writes to; in workers only. */
export interface Writer {
  write(bytes: Uint8Array, at: number): void;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

export class Store {
  readonly #system: StoreSystem;
  readonly #folder: FileSystemDirectoryHandle;

  private constructor(system: StoreSystem, folder: FileSystemDirectoryHandle) {
    this.#system = system;
    this.#folder = folder;
  }

  /** Null where the browser has no such storage (private windows of some, pages without HTTPS, Node). */
  static async open(system: StoreSystem | null = browserSystem()): Promise<Store | null> {
    if (!system) return null;
    try {
      const root = await system.root();
      return new Store(system, await root.getDirectoryHandle(FOLDER, {create: true}));
    } catch {
      return null;
    }
  }

  static async nameOf(url: string): Promise<string> {
    const hash = await digest(new TextEncoder().encode(url));
    return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  /** Runs `body` while it holds the file's lock; `onWait` where another tab has it. */
  async locked<T>(name: string, mode: 'shared' | 'exclusive', signal: AbortSignal | undefined, onWait: () => void,
                  body: () => Promise<T>): Promise<T> {
    const locks = this.#system.locks;
    if (!locks) return body();
    const key = `mote:${name}`;
    const free = await locks.request(key, {mode, ifAvailable: true}, async (lock) => lock ? {value: await body()} : null);
    if (free) return free.value;
    onWait();
    return await locks.request(key, signal ? {mode, signal} : {mode}, body) as T;
  }

  /** Runs `body` while it holds the file's lock, where nobody else has it. */
  async ifFree(name: string, body: () => Promise<void>): Promise<void> {
    const locks = this.#system.locks;
    if (!locks) return body();
    return await locks.request(`mote:${name}`, {mode: 'exclusive', ifAvailable: true}, (lock) => lock ? body() : undefined);
  }

  /** Bytes that may still be stored; Infinity where the browser does not say. */
  async room(): Promise<number> {
    try {
      const {quota, usage} = await this.#system.estimate();
      return quota === undefined ? Infinity : Math.max(0, quota - (usage ?? 0));
    } catch {
      return Infinity;
    }
  }

  async #file(name: string): Promise<File | null> {
    try {
      return await (await this.#folder.getFileHandle(name)).getFile();
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  async #entry(file: string): Promise<Entry | null> {
    const text = await (await this.#file(file))?.text();
    if (!text) return null;
    try {
      const entry = JSON.parse(text) as Entry;
      return entry.format === FORMAT && typeof entry.url === 'string' && Number.isSafeInteger(entry.total) ? entry : null;
    } catch {
      return null;
    }
  }

  /** The complete file of that name, or null. */
  entry(name: string): Promise<Entry | null> {
    return this.#entry(`${name}.json`);
  }

  /** The unfinished download of that name, or null. */
  partEntry(name: string): Promise<Entry | null> {
    return this.#entry(`${name}.part.json`);
  }

  /** The bytes of a file and the hashes of its pieces; null where one of them is missing. */
  async contents(name: string, part = false): Promise<{data: Blob; sums: Uint8Array} | null> {
    const data = await this.#file(part ? `${name}.part` : `${name}.gguf`);
    const sums = await this.#file(part ? `${name}.part.sums` : `${name}.sums`);
    return data && sums ? {data, sums: new Uint8Array(await sums.arrayBuffer())} : null;
  }

  async writer(file: string): Promise<Writer> {
    const entry = await this.#folder.getFileHandle(file, {create: true}) as WorkerHandle;
    const handle = await entry.createSyncAccessHandle();
    return {
      write: (bytes, at) => {
        // Short writes are how some browsers say that there is no room.
        const written = handle.write(bytes, {at});
        if (written !== bytes.length) throw new DOMException('a short write', 'QuotaExceededError');
      },
      truncate: (size) => handle.truncate(size),
      flush: () => handle.flush(),
      close: () => handle.close(),
    };
  }

  /** Writes a small file as a whole: nobody ever sees half of it. */
  async put(file: string, bytes: Uint8Array): Promise<void> {
    const writer = await this.writer(`${file}.new`);
    try {
      writer.truncate(0);
      writer.write(bytes, 0);
      writer.flush();
    } finally {
      writer.close();
    }
    await this.#move(`${file}.new`, file);
  }

  async #move(from: string, to: string): Promise<void> {
    const handle = await this.#folder.getFileHandle(from) as WorkerHandle;
    if (handle.move) {
      await this.#remove(to);
      await handle.move(to);
      return;
    }
    // Without move: a copy. The name's .json still comes last, so an interrupted copy is never taken for a file.
    const source = await handle.getFile();
    const writer = await this.writer(to);
    try {
      writer.truncate(0);
      for (let at = 0; at < source.size; at += PIECE) {
        writer.write(new Uint8Array(await source.slice(at, at + PIECE).arrayBuffer()), at);
      }
      writer.flush();
    } finally {
      writer.close();
    }
    await this.#remove(from);
  }

  putEntry(file: string, entry: Omit<Entry, 'format'>): Promise<void> {
    return this.put(file, new TextEncoder().encode(JSON.stringify({format: FORMAT, ...entry})));
  }

  /** Turns the finished download of that name into the file. */
  async commit(name: string, entry: Omit<Entry, 'format'>): Promise<void> {
    await this.#remove(`${name}.json`);
    await this.#move(`${name}.part`, `${name}.gguf`);
    await this.#move(`${name}.part.sums`, `${name}.sums`);
    await this.putEntry(`${name}.json`, entry);
    await this.#remove(`${name}.part.json`);
  }

  async #remove(file: string): Promise<void> {
    try {
      await this.#folder.removeEntry(file);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Forgets the file of that name, the description first. The caller holds its lock. */
  async forget(name: string, parts: 'complete' | 'part' | 'both'): Promise<void> {
    const complete = ['.json', '.gguf', '.sums'];
    const part = ['.part.json', '.part', '.part.sums'];
    const endings = [...(parts === 'part' ? [] : complete), ...(parts === 'complete' ? [] : part)];
    for (const ending of endings) await this.#remove(name + ending);
  }

  async #names(): Promise<string[]> {
    const names = [];
    for await (const name of this.#folder.keys()) names.push(name);
    return names.sort();
  }

  async list(): Promise<CachedFile[]> {
    const files: CachedFile[] = [];
    for (const name of await this.#names()) {
      if (!name.endsWith('.json')) continue;
      const entry = await this.#entry(name);
      if (!entry) continue;
      const {url, etag, lastModified, sha256, stored, complete} = entry;
      const data = await this.#file(name.replace(/\.json$/, complete ? '.gguf' : ''));
      files.push({url, size: data?.size ?? 0, etag, lastModified, sha256, stored, complete});
    }
    return files;
  }

  /** Bytes of all that is kept, unfinished downloads and descriptions too. */
  async size(): Promise<number> {
    let bytes = 0;
    for (const name of await this.#names()) bytes += (await this.#file(name))?.size ?? 0;
    return bytes;
  }

  /** True where there was something. Waits for a tab that reads or fetches it. */
  async delete(url: string): Promise<boolean> {
    const name = await Store.nameOf(url);
    return this.locked(name, 'exclusive', undefined, () => {}, async () => {
      const there = Boolean(await this.entry(name) ?? await this.partEntry(name));
      await this.forget(name, 'both');
      return there;
    });
  }

  async clear(): Promise<void> {
    const names = new Set((await this.#names()).map((name) => name.split('.')[0]!));
    for (const name of names) {
      await this.locked(name, 'exclusive', undefined, () => {}, async () => {
        for (const file of await this.#names()) if (file.startsWith(`${name}.`)) await this.#remove(file);
      });
    }
  }
}
