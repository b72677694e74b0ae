// What a load tells while it runs.

export type LoadPhase =
  | 'waiting'    // another tab is fetching the same file; this one will then read it from the cache
  | 'download'   // bytes from the network
  | 'cache'      // bytes from the cache, each piece checked against its hash
  | 'local'      // bytes from a file, a buffer or a stream of the caller
  | 'corrupted'  // the copy in the cache was damaged; it is deleted, and fetched again
  | 'stale'      // the server has another file by now; the copy is deleted, and fetched again
  | 'resume'     // an interrupted download goes on at `loaded`
  | 'prepare';   // weights are laid out for this processor

export interface LoadProgress {
  phase: LoadPhase;
  /** Bytes of this file so far. */
  loaded: number;
  /** Bytes of this file; 0: not known yet. */
  total: number;
  /** Which file: its place among the parts given, the vision file last. */
  file: number;
  files: number;
  /** Where it comes from: a URL, or a file's name; '' for buffers and streams. */
  name: string;
}

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';
export type LogFunction = (level: LogLevel, line: string) => void;

/** How the cache takes part, in the words of fetch(): 'default' asks the server whether the copy is still good (and goes
 * on without an answer), 'no-cache' takes the copy only where the server says so, 'force-cache' takes it as it is, 'reload'
 * fetches anew, 'no-store' leaves the cache alone. */
export const CACHE_MODES = ['default', 'no-cache', 'force-cache', 'reload', 'no-store'] as const;
export type CacheMode = typeof CACHE_MODES[number];

/** Where the bytes of one file go. `begin` may come again: what was written is then void. */
export interface Sink {
  begin(total: number): void | Promise<void>;
  write(bytes: Uint8Array): void | Promise<void>;
}
