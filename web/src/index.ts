// The package in a browser.
import {CspError} from './errors.ts';
import {browserWorker} from './page/channel.ts';
import {ModelCache} from './page/model_cache.ts';
import {LoadedModel, load, type LoadOptions, type Platform} from './page/mote.ts';
import {pageBase, type ModelFiles, type ModelSource} from './page/sources.ts';

export * from './public.ts';

const platform: Platform = {
  start: (assets) => {
    try {
      if (assets !== null) return browserWorker(new Worker(`${assets}worker.js`, {type: 'module', name: 'mote'}), `${assets}worker.js`);
      // Written out, because bundlers look for exactly this.
      return browserWorker(new Worker(new URL('./worker.js', import.meta.url), {type: 'module', name: 'mote'}), 'worker.js');
    } catch (error) {
      // Another origin, or a policy in browsers that throw.
      throw new CspError(`the worker was refused (${error instanceof Error ? error.message : error}). Its script must come from ` +
        "the page's own origin, and the Content-Security-Policy must have worker-src 'self'", {}, error);
    }
  },
};

export class Mote extends LoadedModel {
  /** Starts a worker, loads a model into it, and resolves when it can be asked. */
  static async load(source: ModelSource, options: LoadOptions = {}): Promise<Mote> {
    return new Mote(await load(platform, source, options));
  }

  /** Model files kept in this browser. */
  static readonly cache = new ModelCache();
}

/** The model in the box, which knows drawn scenes: `base` is where the package's folder models/ is served, by default
 * models/ beside the page. */
export function builtIn(base: string | URL = 'models/'): ModelFiles {
  const folder = new URL(base, pageBase());
  return {model: new URL('mote-eye-q8_0.gguf', folder), mmproj: new URL('mmproj-mote-eye-q8_0.gguf', folder)};
}
