// The cache of model files, for the page.
import {Store, type CachedFile} from '../cache/store.ts';
import {absolute} from './sources.ts';

const resolve = (url: string | URL) => absolute('cache', url).href.replace(/#.*$/s, '');

/** Files by their URL, in the browser's storage for this site. Without such a storage (Node, some private windows, pages
 * without HTTPS) it is empty and stays so. */
export class ModelCache {
  async list(): Promise<CachedFile[]> {
    return await (await Store.open())?.list() ?? [];
  }

  /** Bytes, with interrupted downloads. */
  async size(): Promise<number> {
    return await (await Store.open())?.size() ?? 0;
  }

  /** What this site may still store, in bytes; Infinity where the browser does not say. */
  async room(): Promise<number> {
    return await (await Store.open())?.room() ?? 0;
  }

  /** True where there was something. Waits for tabs that read it. */
  async delete(url: string | URL): Promise<boolean> {
    return await (await Store.open())?.delete(resolve(url)) ?? false;
  }

  async clear(): Promise<void> {
    await (await Store.open())?.clear();
  }
}
