// The way of a file's bytes into the module's memory, while the module may still be starting.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {MemorySink, readParts, readSource, together} from '../../web/src/worker/sources.ts';

// A module whose allocations are arrays.
class FakeModule {
  live = 0;
  allocate(size) {
    ++this.live;
    const bytes = new Uint8Array(size);
    return {size, write: (at, piece) => bytes.set(piece, at), bytes: () => bytes, free: () => { --this.live; }};
  }
}
const later = () => {
  let resolve;
  let reject;
  const promise = new Promise((good, bad) => { [resolve, reject] = [good, bad]; });
  promise.catch(() => {});
  return {promise, resolve, reject};
};

test('what comes before the module has started is kept, in order', async () => {
  const starting = later();
  const module = new FakeModule();
  const sink = new MemorySink(starting.promise);
  sink.begin(6);
  await sink.write(Uint8Array.of(1, 2));
  await sink.write(Uint8Array.of(3));
  starting.resolve(module);
  await starting.promise;
  await sink.write(Uint8Array.of(4, 5, 6));
  assert.deepEqual([...(await sink.take()).bytes()], [1, 2, 3, 4, 5, 6]);
});

test('a file that begins again, also with another size, is the last one', async () => {
  const module = new FakeModule();
  const sink = new MemorySink(Promise.resolve(module));
  sink.begin(3);
  await sink.write(Uint8Array.of(9, 9));
  sink.begin(3);
  await sink.write(Uint8Array.of(1, 2));
  sink.begin(2);
  await sink.write(Uint8Array.of(7, 8));
  assert.deepEqual([...(await sink.take()).bytes()], [7, 8]);
  assert.equal(module.live, 1, 'nothing else is left allocated');
});

test('much that comes early waits for the module; its failure is told', async () => {
  const starting = later();
  const sink = new MemorySink(starting.promise);
  sink.begin(64 << 20);
  await sink.write(new Uint8Array(16 << 20));
  let went = false;
  const writing = sink.write(new Uint8Array(1)).then(() => { went = true; });
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(went, false);
  starting.reject(new Error('no module'));
  await assert.rejects(writing, /no module/);
  await assert.rejects(sink.take(), /no module/);
});

test('too few and too many bytes, and none, are refused', async () => {
  const module = new FakeModule();
  const sink = new MemorySink(Promise.resolve(module));
  assert.throws(() => sink.begin(0), {code: 'invalid-argument', message: /empty/});
  sink.begin(2);
  await assert.rejects(sink.write(Uint8Array.of(1, 2, 3)), {code: 'invalid-argument', message: /longer than the 2/});
  await sink.write(Uint8Array.of(1));
  await assert.rejects(sink.take(), {code: 'invalid-argument', message: /ended at byte 1; 2 were announced/});
  sink.free();
  assert.equal(module.live, 0);
});

test('a job that fails stops the others, and its failure is the one that is told', async () => {
  const waits = (signal) => new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new DOMException('stopped', 'AbortError')));
  });
  const fails = async () => { throw new Error('the first'); };
  await assert.rejects(together(new AbortController().signal, [waits, fails, waits]), /the first/);
  const stop = new AbortController();
  const waiting = together(stop.signal, [waits, async () => 1]);
  stop.abort();
  await assert.rejects(waiting, {name: 'AbortError'});
  assert.deepEqual(await together(new AbortController().signal, [async () => 1, async () => 2]), [1, 2]);
});

test('a part that fails ends the load, though the page never sends the rest of another', async () => {
  const module = new FakeModule();
  const lost = new Blob([new Uint8Array(8)]);
  lost.slice = () => { throw new Error('gone'); };
  const sources = [{kind: 'feed', feed: 1, size: 8, name: 'stalled'}, {kind: 'blob', blob: lost, name: 'lost'}];
  const optionsOf = (part, signal) => ({
    cache: 'no-store', store: null, signal, onProgress: () => {}, log: () => {}, pull: () => new Promise(() => {}),
  });
  await assert.rejects(readParts(sources, Promise.resolve(module), new AbortController().signal, optionsOf), {code: 'not-found'});
  assert.equal(module.live, 0, 'its memory is given back');
  const controller = new AbortController();
  const reading = readSource(sources[0], new MemorySink(Promise.resolve(module)), optionsOf(0, controller.signal));
  controller.abort();
  await assert.rejects(reading, {name: 'AbortError'});
});
