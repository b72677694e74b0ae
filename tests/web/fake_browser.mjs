// What the package uses of a browser, in memory: an origin private file system, Web Locks with tabs, a server of files.
import {createHash} from 'node:crypto';

const error = (name, message = name) => new DOMException(message, name);

// One file: bytes, and whether a sync access handle holds it.
class FakeFile {
  bytes = new Uint8Array(0);
  held = false;
}

// `limit`: bytes that all files together may have.
export class FakeDisk {
  files = new Map();
  limit = Infinity;
  folder = null;

  get used() {
    return [...this.files.values()].reduce((sum, {bytes}) => sum + bytes.length, 0);
  }

  #handle(name) {
    const disk = this;
    return {
      kind: 'file', name,
      async getFile() {
        const file = disk.files.get(name);
        if (!file) throw error('NotFoundError');
        return new File([file.bytes], name);
      },
      async createSyncAccessHandle() {
        const file = disk.files.get(name);
        if (!file) throw error('NotFoundError');
        if (file.held) throw error('NoModificationAllowedError');
        file.held = true;
        return {
          write(bytes, {at = 0} = {}) {
            const size = Math.max(file.bytes.length, at + bytes.length);
            if (disk.used - file.bytes.length + size > disk.limit) throw error('QuotaExceededError');
            if (size > file.bytes.length) {
              const larger = new Uint8Array(size);
              larger.set(file.bytes);
              file.bytes = larger;
            }
            file.bytes.set(bytes, at);
            return bytes.length;
          },
          truncate(size) {
            const other = new Uint8Array(size);
            other.set(file.bytes.subarray(0, size));
            file.bytes = other;
          },
          flush() {},
          close() { file.held = false; },
        };
      },
      async move(to) {
        const file = disk.files.get(name);
        if (!file) throw error('NotFoundError');
        if (file.held) throw error('NoModificationAllowedError');
        disk.files.delete(name);
        disk.files.set(to, file);
      },
    };
  }

  root() {
    const disk = this;
    const folder = {
      async getFileHandle(name, {create = false} = {}) {
        if (!disk.files.has(name)) {
          if (!create) throw error('NotFoundError');
          disk.files.set(name, new FakeFile());
        }
        return disk.#handle(name);
      },
      async removeEntry(name) {
        if (!disk.files.delete(name)) throw error('NotFoundError');
      },
      async * keys() { yield* [...disk.files.keys()]; },
    };
    return {async getDirectoryHandle(name) {
      disk.folder = name;
      return folder;
    }};
  }
}

// navigator.locks for all tabs of one origin: shared and exclusive, in the order asked.
export class FakeLocks {
  #held = new Map();   // name: [{mode}]
  #queue = [];

  #free(name, mode) {
    const held = this.#held.get(name) ?? [];
    const ahead = this.#queue.some((other) => other.name === name);
    return !ahead && (held.length === 0 || (mode === 'shared' && held.every((lock) => lock.mode === 'shared')));
  }

  async request(name, {mode = 'exclusive', ifAvailable = false, signal} = {}, body) {
    if (!this.#free(name, mode)) {
      if (ifAvailable) return body(null);
      await new Promise((resolve, reject) => {
        const entry = {name, mode, resolve};
        this.#queue.push(entry);
        signal?.addEventListener('abort', () => {
          this.#queue.splice(this.#queue.indexOf(entry), 1);
          reject(signal.reason);
        });
      });
    }
    const lock = {name, mode};
    this.#held.set(name, [...this.#held.get(name) ?? [], lock]);
    try {
      return await body(lock);
    } finally {
      this.#held.set(name, this.#held.get(name).filter((other) => other !== lock));
      this.#wake();
    }
  }

  #wake() {
    for (const entry of [...this.#queue]) {
      const at = this.#queue.indexOf(entry);
      const before = this.#queue.slice(0, at).some((other) => other.name === entry.name);
      const held = this.#held.get(entry.name) ?? [];
      const free = held.length === 0 || (entry.mode === 'shared' && held.every((lock) => lock.mode === 'shared'));
      if (before || !free) continue;
      this.#queue.splice(at, 1);
      // Held from here on, so that nobody comes between.
      entry.resolve();
      return;
    }
  }
}

// A GGUF file as far as the cache looks: four letters, then what differs from place to place.
export function modelBytes(size, seed = 1) {
  const bytes = new Uint8Array(size);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < size; ++i) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  bytes.set(new TextEncoder().encode('GGUF'));
  return bytes;
}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// A server of one file, as fetch(): ranges, tags, and faults. `cuts`: how many bytes each of the next answers sends before
// its connection breaks; `statuses`: what the next ones answer instead.
export class FakeServer {
  requests = [];
  cuts = [];
  statuses = [];
  offline = false;
  ranges = true;
  length = true;
  announced = null;  // another Content-Length than that of the bytes
  type = 'default';  // of answers
  pieces = 40000;
  // Awaited before each piece.
  gate = async () => {};

  constructor(bytes) {
    this.bytes = bytes;
  }

  get etag() {
    return this.tag !== undefined ? this.tag : `"${sha256(this.bytes).slice(0, 8)}"`;
  }

  fetch = async (url, {method = 'GET', headers = {}, signal} = {}) => {
    this.requests.push({method, range: headers.Range ?? null, ifRange: headers['If-Range'] ?? null});
    signal?.throwIfAborted();
    if (this.offline) throw new TypeError('Failed to fetch');
    const status = this.statuses.shift();
    if (status) return new Response('no', {status});
    const match = /^bytes=(\d+)-$/.exec(headers.Range ?? '');
    const same = !headers['If-Range'] || headers['If-Range'] === this.etag;
    const from = match && this.ranges && same ? Number(match[1]) : 0;
    const part = this.bytes.subarray(from);
    const out = {...(this.etag ? {'ETag': this.etag} : {}), 'Content-Type': 'application/octet-stream'};
    if (this.length) out['Content-Length'] = String(this.announced ?? part.length);
    const partial = match && this.ranges && same;
    if (partial) out['Content-Range'] = `bytes ${from}-${this.bytes.length - 1}/${this.bytes.length}`;
    const response = new Response(method === 'HEAD' ? null : this.#body(part, signal), {status: partial ? 206 : 200, headers: out});
    return Object.defineProperty(response, 'type', {value: this.type});
  };

  #body(part, signal) {
    const cut = this.cuts.shift() ?? Infinity;
    const {gate, pieces} = this;
    let at = 0;
    return new ReadableStream({
      async pull(controller) {
        await gate();
        if (signal?.aborted) return controller.error(signal.reason);
        if (at >= cut) return controller.error(new TypeError('network error'));
        if (at >= part.length) return controller.close();
        const end = Math.min(at + pieces, part.length, cut);
        controller.enqueue(part.slice(at, end));
        at = end;
        return undefined;
      },
    }, {highWaterMark: 0});  // nothing is read before somebody wants it
  }
}

// Collects as the module's memory would.
export class Collector {
  begins = 0;
  bytes = null;
  at = 0;

  begin(total) {
    ++this.begins;
    this.bytes = new Uint8Array(total);
    this.at = 0;
  }

  write(bytes) {
    if (this.at + bytes.length > this.bytes.length) throw new Error('more than announced');
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }
}
