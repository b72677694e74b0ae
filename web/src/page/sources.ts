// What a model may come from.
import {InvalidArgumentError} from '../errors.ts';
import type {WireSource} from '../protocol.ts';
import type {Channel} from './channel.ts';
import {shown, wholeNumber} from './check.ts';

/** A file by its address. `sha256`: of the whole file, in hexadecimal: it is checked, and spares asking the server whether
 * a cached copy is still good. `headers` go with each request. */
export interface UrlSource {
  url: string | URL;
  sha256?: string;
  headers?: Record<string, string>;
}

/** `size`: bytes. Without it the whole stream is collected before it is moved into the module's memory. */
export interface StreamSource {
  stream: ReadableStream<Uint8Array>;
  size?: number;
}

/** One file. In Node a string without a scheme is a path. */
export type FileSource = string | URL | UrlSource | Blob | ArrayBuffer | Uint8Array | ReadableStream<Uint8Array> | StreamSource;

/** A model and the vision file that belongs to it. */
export interface ModelFiles {
  model: FileSource | readonly FileSource[];
  mmproj?: FileSource;
}

/** A model: a file, its parts in their order, or with its vision file. */
export type ModelSource = FileSource | readonly FileSource[] | ModelFiles;

const FEED_PIECE = 4 << 20;

function isStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (value as ReadableStream | null)?.getReader === 'function';
}

function urlSource(url: string, {sha256 = '', headers = {}}: Partial<UrlSource>): WireSource {
  const hash = sha256.toLowerCase();
  if (hash && !/^[0-9a-f]{64}$/.test(hash)) {
    throw new InvalidArgumentError(`sha256 must be 64 hexadecimal digits, not ${JSON.stringify(sha256)}`);
  }
  // What follows a # is not sent, and makes no other file.
  return {kind: 'url', url: url.replace(/#.*$/s, ''), sha256: hash || null, headers: plainHeaders(headers)};
}

// Headers that fetch would refuse are refused here, where they were given.
function plainHeaders(headers: Record<string, string>): Record<string, string> {
  try {
    return Object.fromEntries(new Headers(headers));
  } catch (error) {
    throw new InvalidArgumentError(`headers: ${error instanceof Error ? error.message : error}`, {}, error);
  }
}

/** What relative addresses start from; undefined in Node. */
export function pageBase(): string | undefined {
  return globalThis.document?.baseURI ?? globalThis.location?.href;
}

/** An address, absolute. `what`: what it is of. */
export function absolute(what: string, url: string | URL): URL {
  try {
    return new URL(url, pageBase());
  } catch (error) {
    throw new InvalidArgumentError(`${what}: ${JSON.stringify(String(url))} is no address`, {}, error);
  }
}

/** The same, of a folder: with a slash at its end. */
export function folder(what: string, url: string | URL): URL {
  const made = absolute(what, url);
  if (!made.pathname.endsWith('/')) made.pathname += '/';
  return made;
}

function fromText(text: string, rest: Partial<UrlSource>): WireSource {
  if (pageBase() !== undefined) return urlSource(absolute('model', text).href, rest);
  if (/^file:/.test(text)) return {kind: 'path', path: decodeURIComponent(absolute('model', text).pathname)};
  return /^[a-z][a-z0-9+.-]+:/i.test(text) ? urlSource(absolute('model', text).href, rest) : {kind: 'path', path: text};
}

function fromBytes(given: ArrayBuffer | Uint8Array, channel: Channel): WireSource {
  const buffer = given instanceof ArrayBuffer ? given : given.buffer;
  if ('detached' in buffer && buffer.detached) {
    throw new InvalidArgumentError('the buffer is detached: its bytes were given to somebody else (postMessage with transfer)');
  }
  const bytes = given instanceof ArrayBuffer ? new Uint8Array(given) : given;
  let at = 0;
  // Piece by piece, so that there is never a second copy of the whole.
  const feed = channel.feed({pull: async () => {
    // Not slice(): that of Node's Buffers is a view, and sending it would take the bytes from their owner.
    const piece = new Uint8Array(bytes.subarray(at, at + FEED_PIECE));
    at += piece.length;
    return piece.length > 0 ? piece : null;
  }});
  return {kind: 'feed', feed, size: bytes.length, name: ''};
}

// Node does not send Blobs of files to other threads.
function fromBlob(blob: Blob, channel: Channel): WireSource {
  if (globalThis.location !== undefined) return {kind: 'blob', blob, name: 'name' in blob ? String(blob.name) : ''};
  let at = 0;
  const feed = channel.feed({pull: async () => {
    const piece = new Uint8Array(await blob.slice(at, at + FEED_PIECE).arrayBuffer());
    at += piece.length;
    return piece.length > 0 ? piece : null;
  }});
  return {kind: 'feed', feed, size: blob.size, name: ''};
}

function fromStream(stream: ReadableStream<Uint8Array>, size: number, channel: Channel): WireSource {
  if (stream.locked) throw new InvalidArgumentError('the stream is locked: somebody else reads it already');
  const reader = stream.getReader();
  const pull = async () => {
    const {value, done} = await reader.read();
    if (done) return null;
    if (!(value instanceof Uint8Array)) throw new TypeError(`it gave ${shown(value)}, no Uint8Array`);
    // Sending it takes it away from whoever made it.
    return new Uint8Array(value);
  };
  // What a load that failed leaves of it is not wanted; whoever fills it is told.
  const cancel = (reason: unknown) => {
    reader.cancel(reason).catch(() => {});
    reader.releaseLock();
  };
  return {kind: 'feed', feed: channel.feed({pull, cancel}), size, name: ''};
}

export function toWire(source: FileSource, channel: Channel): WireSource {
  if (typeof source === 'string' || source instanceof URL) return fromText(String(source), {});
  if (source instanceof Blob) return fromBlob(source, channel);
  if (source instanceof ArrayBuffer || source instanceof Uint8Array) return fromBytes(source, channel);
  if (isStream(source)) return fromStream(source, 0, channel);
  if (typeof source === 'object' && source !== null) {
    // It has a `url`, of which the file would be fetched a second time.
    if ((source as unknown) instanceof Response) {
      throw new InvalidArgumentError('a model does not come from a Response; give its body ({stream: response.body, size}), or its address');
    }
    if ('url' in source) return fromText(String(source.url), source);
    if ('stream' in source && isStream(source.stream)) {
      return fromStream(source.stream, wholeNumber('size', source.size, 0, Number.MAX_SAFE_INTEGER, 0), channel);
    }
  }
  throw new InvalidArgumentError('a model comes from a URL, a Blob or File, an ArrayBuffer, a Uint8Array, a ReadableStream, ' +
    '{url, sha256} or {stream, size}');
}

/** The parts and the vision file of what the caller gave; `mmproj` of the options is the stronger one. */
export function splitSource(source: ModelSource, mmproj: FileSource | undefined): {
  parts: readonly FileSource[];
  mmproj: FileSource | null;
} {
  const files = typeof source === 'object' && source !== null && 'model' in source ? source : null;
  const model = files ? files.model : source as FileSource | readonly FileSource[];
  const parts = Array.isArray(model) ? model as readonly FileSource[] : [model as FileSource];
  if (parts.length === 0) throw new InvalidArgumentError('a model has at least one part');
  return {parts, mmproj: mmproj ?? files?.mmproj ?? null};
}
