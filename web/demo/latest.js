// Work of which only the latest counts: what began earlier is told to stop, and has ended before the next one begins.
export class Latest {
  #controller = null;
  #ended = Promise.resolve();

  // Runs body(signal). Resolves to whether it was still the latest when it ended; a failure of one that was not is nobody's.
  async run(body) {
    this.#controller?.abort();
    const mine = this.#controller = new AbortController();
    const before = this.#ended;
    const work = before.then(() => mine.signal.aborted ? undefined : body(mine.signal));
    this.#ended = work.then(() => {}, () => {});
    try {
      await work;
    } catch (error) {
      if (!mine.signal.aborted) throw error;
    }
    return !mine.signal.aborted;
  }
}
