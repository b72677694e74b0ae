// One file over HTTP, in order, with as many requests as it takes: a connection that breaks is taken up again with a
// Range, from the byte after the last. Whoever gets the bytes is told where that is not possible and all begins anew.
import {MalformedError, MoteError, NetworkError, throwIfAborted} from '../errors.ts';

/** What a server says of a file, as far as it lets a page of another origin see it. */
export interface Facts {
  etag: string | null;
  lastModified: string | null;
  /** Bytes; 0: not said. */
  total: number;
  /** The Content-Length, where it is not the file's size: the browser decompresses, and does not say so of other origins. */
  announced?: number;
}

export interface Receiver {
  /** All begins (again) at byte 0; `total` 0: not known. */
  start(facts: Facts): Promise<void>;
  take(bytes: Uint8Array): Promise<void>;
}

/** What an earlier visit has left: so many bytes of this file. */
export interface Resume {
  at: number;
  facts: Facts;
}

interface TransferOptions {
  fetch: typeof fetch;
  headers: Record<string, string>;
  signal: AbortSignal | undefined;
  /** Milliseconds before the first new try; doubled with each. */
  pause: number;
  onResume(at: number, total: number): void;
  /** Whether a later load could go on from what has come. */
  isKept(): boolean;
}

// Tries without a single byte beyond all that came before. Each such byte makes the count begin again.
const TRIES = 4;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

export function factsOf(response: Response): Facts {
  // A body that the browser has decompressed is longer than its Content-Length.
  const coded = (response.headers.get('Content-Encoding') ?? 'identity') !== 'identity';
  const length = Number(response.headers.get('Content-Length') ?? 0);
  return {
    etag: response.headers.get('ETag'),
    lastModified: response.headers.get('Last-Modified'),
    total: !coded && Number.isSafeInteger(length) ? length : 0,
  };
}

/** Whether two answers speak of the same file, by what both of them say. */
export function sameFile(a: Facts, b: Facts): boolean {
  if (a.etag && b.etag) return a.etag === b.etag;
  if (a.total && b.total && a.total !== b.total) return false;
  return !(a.lastModified && b.lastModified) || a.lastModified === b.lastModified;
}

// "bytes 100-199/1000": where a partial answer begins and how long the file is; null where it says neither.
function contentRange(response: Response): {from: number; total: number} | null {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '');
  return match ? {from: Number(match[1]), total: Number(match[2])} : null;
}

// Only strong ETags say that bytes are the same. If-Range makes a request to another origin ask for leave first, which
// many servers of files do not give: there, the answer's own facts are compared.
function rangeHeaders(url: string, at: number, facts: Facts): Record<string, string> {
  const headers: Record<string, string> = {Range: `bytes=${at}-`};
  const own = !globalThis.location || new URL(url).origin === globalThis.location.origin;
  const validator = facts.etag && !facts.etag.startsWith('W/') ? facts.etag : facts.lastModified;
  if (own && validator) headers['If-Range'] = validator;
  return headers;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export class Transfer {
  readonly #url: string;
  readonly #options: TransferOptions;
  readonly #receiver: Receiver;
  #at = 0;
  #furthest = 0;  // where #at was at most: a file that begins again is no progress before that
  #facts: Facts | null = null;
  #miscounts = false;  // more bytes come than the Content-Length has: it is that of a compressed answer

  constructor(url: string, receiver: Receiver, options: TransferOptions) {
    this.#url = url;
    this.#receiver = receiver;
    this.#options = options;
  }

  /** Resolves when the receiver has taken the whole file. */
  async run(resume: Resume | null): Promise<Facts> {
    if (resume) {
      this.#at = resume.at;
      this.#facts = resume.facts;
    }
    for (let failures = 0;;) {
      const before = this.#furthest = Math.max(this.#furthest, this.#at);
      try {
        await this.#attempt();
        return this.#facts!;
      } catch (error) {
        throwIfAborted(this.#options.signal, this.#url);
        if (error instanceof MoteError && !(error instanceof Break)) throw error;
        if (!(error instanceof Break) && !(error instanceof TypeError)) throw error;
        failures = this.#furthest > before ? 1 : failures + 1;
        if (failures >= TRIES) throw this.#failure(error);
      }
      throwIfAborted(this.#options.signal, this.#url);
      await sleep(this.#options.pause * 2 ** Math.max(0, failures - 1));
      if (this.#at > 0) this.#options.onResume(this.#at, this.#facts?.total ?? 0);
    }
  }

  #failure(cause: unknown): NetworkError {
    const {total} = this.#facts ?? {total: 0};
    const status = cause instanceof Break ? cause.status : 0;
    const why = cause instanceof Error ? cause.message : String(cause);
    const where = this.#at > 0 ? ` after ${this.#at} of ${total || 'unknown many'} bytes` : '';
    const later = this.#options.isKept() ? ' Loading again goes on where this ended' : '';
    return new NetworkError(`${this.#url}: ${why}${where}, ${TRIES} times; is the server reachable, and does it let this ` +
      `page read it (CORS)?${later}`, {url: this.#url, status}, cause);
  }

  // Returns when the file is whole.
  async #attempt(): Promise<void> {
    const {signal} = this.#options;
    const ranged = this.#at > 0 && this.#facts !== null;
    if (ranged && this.#at === this.#facts!.total) return;
    const headers = {...this.#options.headers, ...(ranged ? rangeHeaders(this.#url, this.#at, this.#facts!) : {})};
    // `no-store`: the bytes are kept here; the browser's own cache would keep a model a second time.
    const response = await this.#options.fetch(this.#url, {headers, cache: 'no-store', ...(signal ? {signal} : {})});
    if (response.status === 206) {
      const range = contentRange(response);
      if (!ranged) return this.#again(response, 'the server answered 206, a part, where the whole file was asked for');
      const facts = {...factsOf(response), total: range?.total ?? this.#facts!.total};
      if (!sameFile(this.#facts!, facts)) return this.#again(response, 'the server has another file by now');
      if (range && range.from !== this.#at) {
        return this.#again(response, `the server answered from byte ${range.from} on, where ${this.#at} was asked for`);
      }
    } else if (response.status === 416 && ranged) {
      return this.#again(response, `the server has no byte ${this.#at}`);
    } else if (response.ok) {
      this.#at = 0;
      const facts = factsOf(response);
      this.#facts = this.#miscounts ? {...facts, total: 0, announced: facts.total} : facts;
      await this.#receiver.start(this.#facts);
    } else {
      await response.body?.cancel();
      const words = `the server answered ${response.status}${response.statusText ? ` ${response.statusText}` : ''}`;
      if (TRANSIENT.has(response.status)) throw new Break(words, response.status);
      throw new NetworkError(`${this.#url}: ${words}, not 200`, {url: this.#url, status: response.status});
    }
    return this.#read(response);
  }

  // All anew, with the next try.
  async #again(response: Response, why: string): Promise<never> {
    // Whoever reads it cancels it himself.
    if (!response.body?.locked) await response.body?.cancel();
    this.#at = 0;
    this.#facts = null;
    throw new Break(why, response.status);
  }

  async #read(response: Response): Promise<void> {
    const {total} = this.#facts!;
    if (!response.body) {
      if (total) throw new Break('the answer has no body', response.status);
      throw this.#empty(response);
    }
    const reader = response.body.getReader();
    try {
      for (;;) {
        const {value, done} = await reader.read();
        if (done) break;
        throwIfAborted(this.#options.signal, this.#url);
        if (this.#at === 0) checkMagic(this.#url, value, response);
        if (total && this.#at + value.length > total) return await this.#tooMuch(response);
        this.#at += value.length;
        this.#furthest = Math.max(this.#furthest, this.#at);
        await this.#receiver.take(value);
      }
    } finally {
      // The connection is given back wherever this ended; after its end, cancel does nothing.
      reader.cancel().catch(() => {});
    }
    if (total && this.#at < total) throw new Break('the connection ended early', response.status);
    if (this.#at === 0) throw this.#empty(response);
    this.#facts = {...this.#facts!, total: this.#at};
  }

  // Of other origins a page sees the Content-Length, which is that of the compressed bytes, and no Content-Encoding.
  #tooMuch(response: Response): Promise<never> {
    const {total} = this.#facts!;
    if (response.type === 'cors' && !this.#miscounts) {
      this.#miscounts = true;
      return this.#again(response, `more came than the ${total} bytes that were announced`);
    }
    throw new NetworkError(`${this.#url}: the server announced ${total} bytes and sent more`,
                           {url: this.#url, status: response.status});
  }

  #empty(response: Response): MalformedError {
    return new MalformedError(`${this.#url}: no GGUF file: the server answered ${response.status} and sent 0 bytes`, {url: this.#url});
  }
}

/** A connection that broke, or a server that may answer later. */
class Break extends MoteError {
  readonly status: number;
  constructor(message: string, status: number) {
    super('network', message);
    this.status = status;
  }
}

// A page in the place of a model is a common mistake of servers; it must not get into the cache.
function checkMagic(url: string, bytes: Uint8Array, response: Response): void {
  const begin = String.fromCharCode(...bytes.subarray(0, 4));
  if ('GGUF'.startsWith(begin)) return;
  const type = response.headers.get('Content-Type') ?? 'no type';
  throw new MalformedError(`${url}: no GGUF file: it begins with ${JSON.stringify(begin)} (${type}), not with "GGUF"`, {url});
}

