// The package in a browser.
import {CspError} from './errors.ts';
import {browserWorker} from './page/channel.ts';
import {ModelCache} from './page/model_cache.ts';
import {LoadedModel, load, type LoadOptions, type Platform} from './page/mote.ts';
import {folder, type ModelFiles, type ModelSource} from './page/sources.ts';

export * from './public.ts';

const platform: Platform = {
  start: (assets) => {
    try {
      if (assets !== null) return browserWorker(new Worker(`${assets}worker.js`, {type: 'module', name: 'mote'}), `${assets}worker.js`);
      // Written out, because bundlers look for exactly this.
      return browserWorker(new Worker(new URL('./worker.js', import.meta.url), {type: 'module', name: 'mote'}), 'worker.js');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (/TrustedScriptURL|Trusted ?Types?/i.test(why)) {
        throw new CspError(`the worker was refused (${why}). The package has no policy of Trusted Types: the ` +
          "Content-Security-Policy must not have require-trusted-types-for 'script', or the page must have a default policy that " +
          'passes worker.js', {directive: 'require-trusted-types-for'}, error);
      }
      // Another origin, or a policy in browsers that throw.
      throw new CspError(`the worker was refused (${why}). Its script must come from ` +
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
  const at = folder('builtIn', base);
  return {model: new URL('mote-eye-q8_0.gguf', at), mmproj: new URL('mmproj-mote-eye-q8_0.gguf', at)};
}
