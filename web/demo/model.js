// The model behind the page: loaded, told about, asked.
import {AbortedError, Mote, QuotaError, builtIn} from './mote/index.js';

const MB = 1e6;

export const megabytes = (bytes) => `${(bytes / MB).toFixed(1)} MB`;

// Words and a share of the way, from what the load tells of each of its files.
export class Progress {
  #files = new Map();

  take(progress) {
    this.#files.set(progress.file, progress);
    const all = [...this.#files.values()];
    const loaded = all.reduce((sum, file) => sum + file.loaded, 0);
    const total = all.reduce((sum, file) => sum + file.total, 0);
    const share = total > 0 && all.length === progress.files ? Math.min(1, loaded / total) : 0;
    const words = {
      waiting: 'Another tab is fetching the model',
      download: `Fetching the model: ${megabytes(loaded)} of ${megabytes(total)}`,
      cache: `Reading the kept model: ${megabytes(loaded)} of ${megabytes(total)}`,
      local: `Reading the file: ${megabytes(loaded)} of ${megabytes(total)}`,
      corrupted: 'The kept copy was damaged; fetching it again',
      stale: 'There is a newer model; fetching it',
      resume: `Going on at ${megabytes(loaded)}`,
      prepare: 'Preparing the weights',
    }[progress.phase];
    return {words, share};
  }
}

// `files`: GGUF files of the visitor, or null for the model in the box.
export async function loadModel(files, signal, onProgress) {
  const options = {onProgress, signal, context: 1024};
  if (files) {
    const mmproj = files.find((file) => /mmproj/i.test(file.name));
    const parts = files.filter((file) => file !== mmproj).sort((a, b) => a.name.localeCompare(b.name));
    return {mote: await Mote.load(parts.length > 0 ? parts : files, {...options, ...(mmproj && parts.length > 0 ? {mmproj} : {})}), kept: false};
  }
  try {
    return {mote: await Mote.load(builtIn(), options), kept: true};
  } catch (error) {
    if (!(error instanceof QuotaError)) throw error;
    // It works without being kept, only not offline.
    return {mote: await Mote.load(builtIn(), {...options, cache: 'no-store'}), kept: false};
  }
}

export function isStop(error) {
  return error instanceof AbortedError;
}

// Pieces of the answer through `onText`; resolves to {usage, timings}.
export async function ask(mote, image, question, signal, onText) {
  const content = [...(mote.info.vision ? [{type: 'image', image}] : []), {type: 'text', text: question}];
  let last = null;
  const stream = mote.chat.completions.create({
    messages: [{role: 'user', content}], stream: true, temperature: 0, max_tokens: 200, signal,
  });
  for await (const chunk of stream) {
    const text = chunk.choices[0]?.delta.content;
    if (text) onText(text);
    last = chunk;
  }
  return {usage: last.usage, timings: last.timings};
}

// [[name, value]] for the sheet under the hood.
export async function facts(mote) {
  const {info} = mote;
  const {moduleBytes} = await mote.memory();
  const size = await Mote.cache.size();
  return [
    ['Model', `${info.model.name || info.model.architecture}, ${info.model.weightType}, ${megabytes(info.modelBytes)}`],
    ['Eye', info.vision ? `${info.vision.imageSize} × ${info.vision.imageSize} pixels, ${info.vision.rowsPerView} rows` : 'none'],
    ['WebAssembly module', info.variant === 'relaxed' ? 'relaxed SIMD' : '128-bit SIMD'],
    ['Threads', info.threadsReason ? `${info.threads} (${info.threadsReason})` : String(info.threads)],
    ['Ready after', `${Math.round(info.timings.total_ms)} ms: module ${Math.round(info.timings.module_ms)}, bytes ${Math.round(info.timings.read_ms)}, weights ${Math.round(info.timings.prepare_ms)}`],
    ['Memory of the module', megabytes(moduleBytes)],
    ['Kept in this browser', size > 0 ? megabytes(size) : 'nothing'],
    ['Engine', `mote ${info.version}, ${info.model.backend}`],
  ];
}

export async function forget() {
  await Mote.cache.clear();
}
