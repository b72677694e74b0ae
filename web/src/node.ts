// The package in Node, 24 or newer: models from paths, URLs, Blobs, buffers and streams; pictures as pixels; no cache.
import {Worker, type Transferable as NodeTransferable} from 'node:worker_threads';
import {ModuleError} from './errors.ts';
import {ModelCache} from './page/model_cache.ts';
import {LoadedModel, load, type LoadOptions, type Platform} from './page/mote.ts';
import {folder, type ModelFiles, type ModelSource} from './page/sources.ts';

export * from './public.ts';

const platform: Platform = {
  start: () => {
    const worker = new Worker(new URL('./node_worker.js', import.meta.url), {name: 'mote'});
    let ended = false;
    return {
      post: (message, transfer) => worker.postMessage(message, transfer as unknown as NodeTransferable[]),
      onMessage: (listener) => { worker.on('message', listener); },
      onFailure: (listener) => {
        worker.on('error', (error) => {
          listener(new ModuleError(`the worker failed: ${error instanceof Error ? error.message : error}`, {}, error));
        });
        worker.on('exit', (code) => { if (!ended) listener(new ModuleError(`the worker ended with ${code}`)); });
      },
      terminate: () => {
        ended = true;
        void worker.terminate();
      },
    };
  },
};

export class Mote extends LoadedModel {
  /** Starts a worker, loads a model into it, and resolves when it can be asked. */
  static async load(source: ModelSource, options: LoadOptions = {}): Promise<Mote> {
    return new Mote(await load(platform, source, options));
  }

  /** Empty in Node. */
  static readonly cache = new ModelCache();
}

/** The model in the box, which knows drawn scenes, from the package itself or from `base`. */
export function builtIn(base: string | URL = new URL('./models/', import.meta.url)): ModelFiles {
  const file = (name: string) => {
    if (base instanceof URL) return new URL(name, folder('builtIn', base));
    return base === '' || base.endsWith('/') ? base + name : `${base}/${name}`;
  };
  return {model: file('mote-eye-q8_0.gguf'), mmproj: file('mmproj-mote-eye-q8_0.gguf')};
}
