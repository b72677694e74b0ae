// Pictures to RGBA, in the worker: the page's thread only handed them over.
import {InvalidArgumentError, MoteError, UnsupportedError} from '../errors.ts';
import type {Pixels} from '../module/types.ts';
import type {WireImage} from '../protocol.ts';

// Larger pictures are made smaller by the browser before they are read: 16 MiB of pixels is more than any tower looks at,
// and the memory of a module never shrinks.
const MOST_PIXELS = 4 << 20;

function fit(width: number, height: number): [number, number] {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

function draw(source: ImageBitmap | VideoFrame, sourceWidth: number, sourceHeight: number): Pixels {
  const [width, height] = fit(sourceWidth, sourceHeight);
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  if (!pen) throw new UnsupportedError('pictures: this browser gives workers no 2D canvas; hand over ImageData instead');
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(source, 0, 0, width, height);
  const {data} = pen.getImageData(0, 0, width, height);
  return {data, width, height, channels: 4};
}

export async function readPixels(image: WireImage): Promise<Pixels> {
  if (image.kind === 'pixels') return await smaller(image) ?? image;  // checked where they go into the module's memory
  if (typeof createImageBitmap === 'undefined' || typeof OffscreenCanvas === 'undefined') {
    closeImage(image);
    throw new UnsupportedError('pictures: nothing here decodes them; hand over pixels ({data, width, height}, RGBA)');
  }
  if (image.kind === 'frame') {
    try {
      return draw(image.frame, image.frame.displayWidth, image.frame.displayHeight);
    } finally {
      image.frame.close();
    }
  }
  const bitmap = image.kind === 'bitmap' ? image.bitmap : await decode(image.blob);
  try {
    return draw(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

// Pixels beyond the most as a smaller picture; null: they are few, or not what they are said to be, or nothing here draws.
async function smaller({data, width, height, channels}: Extract<WireImage, {kind: 'pixels'}>): Promise<Pixels | null> {
  const count = width * height;
  if (!(count > MOST_PIXELS) || data.length !== count * channels) return null;
  if (typeof createImageBitmap === 'undefined' || typeof OffscreenCanvas === 'undefined') return null;
  const rgba = new Uint8ClampedArray(channels === 4 ? data.buffer as ArrayBuffer : new ArrayBuffer(4 * count),
                                     channels === 4 ? data.byteOffset : 0, 4 * count);
  if (channels === 3) {
    rgba.fill(255);
    for (let i = 0; i < count; ++i) for (let c = 0; c < 3; ++c) rgba[4 * i + c] = data[3 * i + c]!;
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(new ImageData(rgba, width, height));
  } catch (error) {
    throw new InvalidArgumentError(`picture: the browser does not take ${width} x ${height} pixels`, {}, error);
  }
  try {
    return draw(bitmap, width, height);
  } finally {
    bitmap.close();
  }
}

async function decode(blob: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(blob);
  } catch (error) {
    if (error instanceof MoteError) throw error;
    throw new InvalidArgumentError(`picture: the browser cannot decode ${blob.size} bytes of ` +
      `${blob.type || 'no type'}; JPEG, PNG and WebP work everywhere`, {}, error);
  }
}

/** Gives back what was handed over and is not used. */
export function closeImage(image: WireImage): void {
  if (image.kind === 'bitmap') image.bitmap.close();
  if (image.kind === 'frame') image.frame.close();
}
