// Files, pastes and camera frames to what a request carries: a data URL of a JPEG or PNG of bounded size.

// Towers look at 128 to about 1500 pixels a side; more would only be sent to be thrown away.
const MOST_PIXELS = 1568;
const MOST_FILE = 64 * 1024 * 1024;

function fit(width, height) {
  const scale = Math.min(1, MOST_PIXELS / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

// `source`: anything that a canvas can draw.
export function encode(source, sourceWidth, sourceHeight, name, lossless) {
  const [width, height] = fit(sourceWidth, sourceHeight);
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#ffffff';  // what is transparent, a tower sees over white
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(source, 0, 0, width, height);
  const url = lossless ? canvas.toDataURL('image/png') : canvas.toDataURL('image/jpeg', 0.92);
  return {url, width, height, name};
}

export async function fromFile(file) {
  if (file.size > MOST_FILE) throw new Error('This picture is larger than 64 MB.');
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error('The browser cannot read this file as a picture. JPEG, PNG and WebP work everywhere.');
  }
  // Drawings and screenshots stay exact; photographs are small as JPEG.
  const drawn = file.type === 'image/png' && file.size < 1024 * 1024;
  const picture = encode(bitmap, bitmap.width, bitmap.height, file.name || 'picture', drawn);
  bitmap.close();
  return picture;
}

export function firstPicture(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith('image/')) ?? transfer?.files?.[0] ?? null;
}
