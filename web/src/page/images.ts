// Pictures of any kind to what can be sent to the worker. Nothing here reads pixels or decodes: the page's thread only
// takes a handle to the picture (an ImageBitmap), which the worker then draws and reads.
import {InvalidArgumentError, MoteError, NetworkError, UnsupportedError, throwIfAborted} from '../errors.ts';
import type {WireImage} from '../protocol.ts';

/** RGBA (or, with `channels: 3`, RGB), 8 bits each, rows from top to bottom without gaps. ImageData is one. */
export interface PixelSource {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels?: 3 | 4;
}

/** What a picture may be. A string or URL: data:, blob: or one that the page may fetch. What is given stays the caller's:
 * bitmaps and frames are copied, not closed. */
export type ImageInput = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | ImageData | VideoFrame | HTMLImageElement |
    HTMLVideoElement | Blob | PixelSource | string | URL;

interface Sendable {
  image: WireImage;
  transfer: Transferable[];
}

// Node has none of these, and not every browser has all.
function is<T>(name: string, value: unknown): value is T {
  const type = (globalThis as Record<string, unknown>)[name];
  return typeof type === 'function' && value instanceof type;
}

function bitmap(made: ImageBitmap): Sendable {
  return {image: {kind: 'bitmap', bitmap: made}, transfer: [made]};
}

// RFC 2397. Not by fetch(), which a policy's connect-src may forbid for data: URLs.
export function decodeDataUrl(url: string): Blob {
  const match = /^data:([^,]*?)(;base64)?,(.*)$/s.exec(url);
  if (!match) throw new InvalidArgumentError('picture: a data: URL is "data:TYPE;base64,DATA"');
  const [, type = '', base64, data = ''] = match;
  try {
    const bytes = base64 ? Uint8Array.from(atob(decodeURIComponent(data)), (c) => c.charCodeAt(0))
      : new TextEncoder().encode(decodeURIComponent(data));
    return new Blob([bytes], {type});
  } catch (error) {
    throw new InvalidArgumentError('picture: the data of this data: URL is no base64', {}, error);
  }
}

async function fetchBlob(url: string, signal: AbortSignal | undefined): Promise<Blob> {
  if (url.startsWith('data:')) return decodeDataUrl(url);
  try {
    const response = await fetch(url, signal ? {signal} : {});
    if (response.ok) return await response.blob();
    throw new NetworkError(`${url}: the server answered ${response.status}, not 200`, {url, status: response.status});
  } catch (error) {
    if (error instanceof NetworkError || signal?.aborted) throw error;
    throw new NetworkError(`${url}: the picture cannot be fetched; is the address right, and does its server let this page ` +
      'read it (CORS)?', {url}, error);
  }
}

async function element(input: HTMLImageElement | HTMLVideoElement | HTMLCanvasElement): Promise<Sendable> {
  try {
    if (is<HTMLImageElement>('HTMLImageElement', input) && !input.complete) await input.decode();
    return bitmap(await createImageBitmap(input));
  } catch (error) {
    throw new InvalidArgumentError(`picture: this <${input.localName}> gives none (${error instanceof Error ? error.message : error}); ` +
      'it must be loaded, have a size, and come from this origin or with CORS', {}, error);
  }
}

async function convert(input: ImageInput, signal?: AbortSignal): Promise<Sendable> {
  if (typeof input === 'string' || input instanceof URL) {
    return {image: {kind: 'blob', blob: await fetchBlob(String(input), signal)}, transfer: []};
  }
  if (is<Blob>('Blob', input)) return {image: {kind: 'blob', blob: input}, transfer: []};
  if (is<ImageBitmap>('ImageBitmap', input) || is<OffscreenCanvas>('OffscreenCanvas', input)) {
    return bitmap(await createImageBitmap(input));
  }
  if (is<VideoFrame>('VideoFrame', input)) {
    const frame = input.clone();
    return {image: {kind: 'frame', frame}, transfer: [frame as unknown as Transferable]};
  }
  if (is<HTMLImageElement>('HTMLImageElement', input) || is<HTMLVideoElement>('HTMLVideoElement', input) ||
      is<HTMLCanvasElement>('HTMLCanvasElement', input)) {
    return element(input);
  }
  const {data, width, height, channels = 4} = (input ?? {}) as PixelSource;
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) {
    const copy = new Uint8Array(data);
    return {image: {kind: 'pixels', data: copy, width, height, channels}, transfer: [copy.buffer as ArrayBuffer]};
  }
  throw new UnsupportedError('picture: want an ImageBitmap, canvas, ImageData, VideoFrame, image or video element, Blob, ' +
    'URL, or {data, width, height} with 8-bit RGBA');
}

// What browsers throw (a picture that does not decode, a bitmap that was closed, a buffer that was given away) as ours.
async function toSendable(input: ImageInput, signal?: AbortSignal): Promise<Sendable> {
  throwIfAborted(signal, 'picture');
  try {
    return await convert(input, signal);
  } catch (error) {
    if (error instanceof MoteError) throw error;
    throwIfAborted(signal, 'picture');
    throw new InvalidArgumentError(`picture: this one cannot be taken (${error instanceof Error ? error.message : error})`, {}, error);
  }
}

export async function toSendables(inputs: readonly ImageInput[],
                                  signal?: AbortSignal): Promise<{images: WireImage[]; transfer: Transferable[]}> {
  const sendables = await Promise.all(inputs.map((input) => toSendable(input, signal)));
  return {images: sendables.map(({image}) => image), transfer: sendables.flatMap(({transfer}) => transfer)};
}
