// The cache of model files and the downloads into it, over a file system, locks and a server in memory.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {loadUrl} from '../../web/src/cache/load_url.ts';
import {Sha256} from '../../web/src/cache/sha256.ts';
import {PIECE, Store} from '../../web/src/cache/store.ts';
import {Collector, FakeDisk, FakeLocks, FakeServer, modelBytes, sha256} from './fake_browser.mjs';

const URL_ = 'https://models.test/a.gguf';
const SIZE = 3 * PIECE + 12345;

async function setUp(size = SIZE) {
  const disk = new FakeDisk();
  const locks = new FakeLocks();
  const system = {root: async () => disk.root(), locks, estimate: async () => ({quota: disk.limit, usage: disk.used})};
  const server = new FakeServer(modelBytes(size));
  const phases = [];
  const lines = [];
  const store = await Store.open(system);
  const load = async (options = {}) => {
    const sink = new Collector();
    const size = await loadUrl(URL_, sink, {
      mode: 'default', sha256: null, store, fetch: server.fetch, headers: {}, signal: undefined, pause: 1,
      onProgress: (phase, loaded, total) => {
        if (phases.at(-1)?.phase !== phase) phases.push({phase, loaded, total});
        Object.assign(phases.at(-1), {loaded, total});
      },
      log: (level, line) => lines.push(`${level}: ${line}`), ...options,
    });
    assert.equal(sink.at, size, 'the sink has the whole file');
    return sink.bytes;
  };
  return {disk, locks, system, server, store, phases, lines, load, names: () => phases.map(({phase}) => phase)};
}
const rejects = (promise, code, words = /./) => assert.rejects(promise, (error) => {
  assert.equal(error.code, code, error.stack);
  assert.match(error.message, words);
  return true;
});

test('SHA-256 of any cut of a stream is that of the whole', () => {
  for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100003]) {
    const bytes = modelBytes(Math.max(size, 4)).subarray(0, size);
    const hash = new Sha256();
    for (let at = 0, step = 1; at < size; at += step, step = step * 3 % 251 + 1) hash.update(bytes.subarray(at, at + step));
    assert.equal(hash.hex(), sha256(bytes), `${size} bytes`);
  }
});

test('a file is fetched once, then read from the cache', async () => {
  const {server, load, store, names} = await setUp();
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(server.requests.map(({method}) => method), ['GET', 'HEAD'], 'the second load only asked');
  assert.deepEqual(names(), ['download', 'cache']);
  const [file, ...others] = await store.list();
  assert.deepEqual(others, []);
  assert.deepEqual([file.url, file.size, file.etag, file.complete], [URL_, SIZE, server.etag, true]);
  assert.ok(await store.size() > SIZE);
  await load({mode: 'force-cache'});
  assert.equal(server.requests.length, 2, 'force-cache asks nobody');
});

test('a new file on the server replaces the copy; without a network the copy serves', async () => {
  const {server, load, names} = await setUp();
  await load();
  server.offline = true;
  await load();
  server.offline = false;
  server.bytes = modelBytes(SIZE, 7);
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(names(), ['download', 'cache', 'stale', 'download']);
  assert.deepEqual(await load(), server.bytes);
});

test('a byte that turned over on disk is found, deleted and fetched again', async () => {
  for (const at of [0, PIECE + 5, SIZE - 1]) {
    const {disk, server, load, names, lines} = await setUp();
    await load();
    const file = [...disk.files].find(([name]) => name.endsWith('.gguf'))[1];
    file.bytes[at] ^= 16;
    assert.deepEqual(await load(), server.bytes);
    assert.deepEqual(names().filter((name) => name !== 'cache'), ['download', 'corrupted', 'download'], `byte ${at}`);
    assert.match(lines.join('\n'), /warning: .*damaged \(right up to byte/);
    assert.deepEqual(await load(), server.bytes, 'and is whole again');
  }
});

test('a copy that was cut short, or that lost its hashes, is fetched again', async () => {
  for (const harm of [(disk, name) => { disk.files.get(name + '.gguf').bytes = new Uint8Array(5); },
                      (disk, name) => { disk.files.delete(name + '.gguf'); }, (disk, name) => { disk.files.delete(name + '.sums'); },
                      (disk, name) => { disk.files.get(name + '.json').bytes = new TextEncoder().encode('{"format":1,'); }]) {
    const {disk, server, load} = await setUp();
    await load();
    harm(disk, await Store.nameOf(URL_));
    assert.deepEqual(await load(), server.bytes);
    assert.equal(server.requests.filter(({method}) => method === 'GET').length, 2);
  }
});

test('a broken connection is taken up where it ended, within one load', async () => {
  const {server, load, names, phases} = await setUp();
  server.cuts = [PIECE + 1000, 2000];
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(server.requests.map(({range}) => range), [null, `bytes=${PIECE + 1000}-`, `bytes=${PIECE + 3000}-`]);
  assert.deepEqual(server.requests.map(({ifRange}) => ifRange), [null, server.etag, server.etag]);
  assert.deepEqual(names(), ['download', 'resume', 'download', 'resume', 'download']);
  assert.ok(phases.every(({total}) => total === SIZE), 'each tells the size');
  assert.deepEqual(await load({mode: 'force-cache'}), server.bytes, 'what was stored is whole');
});

test('a download that failed is taken up by the next load, from its last whole piece', async () => {
  const {server, load, store, names} = await setUp();
  server.cuts = [2 * PIECE + 1000, 0, 0, 0, 0];
  await rejects(load(), 'network', /after 2098152 of 3158073 bytes, 4 times.*Loading again goes on where this ended/);
  const [part] = await store.list();
  assert.deepEqual([part.complete, part.size], [false, 2 * PIECE]);
  server.cuts = [];
  server.requests = [];
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(server.requests, [{method: 'GET', range: `bytes=${2 * PIECE}-`, ifRange: server.etag}]);
  assert.equal(names().at(-2), 'resume');
  assert.deepEqual(await store.list().then((files) => files.map(({complete}) => complete)), [true]);
});

test('what was left of another version is not taken up', async () => {
  for (const ranges of [true, false]) {
    const {server, load} = await setUp();
    server.cuts = [2 * PIECE + 1000, 0, 0, 0, 0];
    await rejects(load(), 'network');
    server.bytes = modelBytes(SIZE, 9);
    server.cuts = [];
    server.ranges = ranges;
    assert.deepEqual(await load(), server.bytes);
    assert.deepEqual(await load({mode: 'force-cache'}), server.bytes);
  }
});

test('a server that cannot resume is asked for all of it again', async () => {
  const {server, load} = await setUp();
  server.ranges = false;
  server.cuts = [PIECE + 1000];
  assert.deepEqual(await load(), server.bytes);
});

test('a damaged rest of a download is used up to its damage', async () => {
  const {disk, server, load} = await setUp();
  server.cuts = [2 * PIECE + 1000, 0, 0, 0, 0];
  await rejects(load(), 'network');
  [...disk.files].find(([name]) => name.endsWith('.part'))[1].bytes[PIECE + 7] ^= 1;
  server.cuts = [];
  assert.deepEqual(await load(), server.bytes);
  assert.equal(server.requests.at(-1).range, `bytes=${PIECE}-`);
});

test('a file without an announced size is kept and whole, too', async () => {
  const {server, load} = await setUp();
  server.length = false;
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(await load({mode: 'force-cache'}), server.bytes);
  assert.deepEqual(await load({store: null}), server.bytes);
});

test('without room nothing is fetched; a disk that fills up meanwhile keeps nothing', async () => {
  const {disk, load, store, server} = await setUp();
  disk.limit = SIZE;
  server.gate = () => assert.fail('a body was read');
  await rejects(load(), 'quota', /bytes are needed, the browser's storage has \d+ left.*no-store/);
  server.gate = async () => {};
  disk.limit = Infinity;
  let pieces = 0;
  server.gate = async () => { if (++pieces === 40) disk.limit = PIECE + 300000; };
  await rejects(load(), 'quota', /storage is full/);
  assert.deepEqual(await store.list(), []);
  server.gate = async () => { if (++pieces === 40) disk.limit = PIECE + 300000; };
  disk.limit = Infinity;
  pieces = 0;
  await assert.rejects(load(), ({details}) => details.needed === SIZE && details.free <= PIECE + 300000 && details.url === URL_);
  assert.deepEqual(await load({mode: 'no-store'}), server.bytes, 'it loads without being kept');
});

test('an older copy makes room for the newer one', async () => {
  const {disk, load, server} = await setUp();
  await load();
  disk.limit = SIZE * 1.5;
  server.bytes = modelBytes(SIZE, 3);
  assert.deepEqual(await load(), server.bytes);
});

test('the SHA-256 that a caller gives is held', async () => {
  const {load, server, store} = await setUp();
  await rejects(load({sha256: '0'.repeat(64)}), 'corrupted', /its SHA-256 is [0-9a-f]{64}, not 0{64}; it is not kept/);
  assert.deepEqual(await store.list(), []);
  await rejects(load({sha256: '0'.repeat(64), store: null}), 'corrupted');
  const right = sha256(server.bytes);
  await load({sha256: right});
  server.requests = [];
  await load({sha256: right});
  assert.deepEqual(server.requests, [], 'a copy with that hash needs no asking');
  assert.equal((await store.list())[0].sha256, right);
  // A copy kept without a hash is hashed when one is given.
  await store.clear();
  await load();
  await load({sha256: right});
  server.requests = [];
  await load({sha256: right});
  assert.deepEqual(server.requests, [], 'and the hash is kept with it');
  await rejects(load({sha256: '0'.repeat(64), mode: 'force-cache'}), 'corrupted');
});

test('a hash holds over an interrupted download as well', async () => {
  const {load, server} = await setUp();
  server.cuts = [2 * PIECE + 1000, 0, 0, 0, 0];
  const right = sha256(server.bytes);
  await rejects(load({sha256: right}), 'network');
  server.cuts = [];
  assert.deepEqual(await load({sha256: right}), server.bytes);
  assert.equal(server.requests.at(-1).range, `bytes=${2 * PIECE}-`);
});

test('two tabs: one fetches, the other waits and reads', async () => {
  const {load, server, system, names} = await setUp();
  const other = await Store.open(system);
  let opened;
  const gate = new Promise((resolve) => { opened = resolve; });
  server.gate = () => gate;
  const until = async (met) => { while (!met()) await new Promise((resolve) => setTimeout(resolve, 1)); };
  const first = load();
  await until(() => server.requests.length > 0);
  const second = load({store: other});
  await until(() => names().includes('waiting'));
  opened();
  const [a, b] = await Promise.all([first, second]);
  assert.deepEqual(a, server.bytes);
  assert.deepEqual(b, server.bytes);
  assert.equal(server.requests.filter(({method}) => method === 'GET').length, 1);
});

test('an AbortSignal stops a download, and what came is kept for the next', async () => {
  const {load, server} = await setUp();
  const controller = new AbortController();
  let pieces = 0;
  server.gate = async () => { if (++pieces === 60) controller.abort(); };
  await rejects(load({signal: controller.signal}), 'aborted', /AbortSignal/);
  server.gate = async () => {};
  assert.deepEqual(await load(), server.bytes);
  assert.match(server.requests.at(-1).range, /^bytes=2097152-$/);
});

test('what is no model is refused before it is kept, and errors of the server are told', async () => {
  const {load, server, store} = await setUp();
  server.bytes = new TextEncoder().encode('<!doctype html><title>Not found</title>');
  await rejects(load(), 'malformed', /begins with "<!do"/);
  assert.deepEqual((await store.list()).filter(({complete}) => complete), []);
  server.statuses = [404];
  await rejects(load(), 'network', /404.*not 200/);
  server.bytes = modelBytes(SIZE);
  server.statuses = [503, 429];
  assert.deepEqual(await load(), server.bytes, 'two that pass');
  server.offline = true;
  await assert.rejects(load({mode: 'reload'}), ({code, message}) => code === 'network' && /Failed to fetch.*CORS\)\?$/.test(message),
                       'nothing is kept, and nothing said of it');
});

test('no bytes at all are no model, and are not kept', async () => {
  const {load, server, store} = await setUp();
  server.bytes = new Uint8Array(0);
  await rejects(load(), 'malformed', /answered 200 and sent 0 bytes/);
  await rejects(load({fetch: async () => new Response(null, {status: 204})}), 'malformed', /answered 204 and sent 0 bytes/);
  assert.equal(server.requests.length, 1, 'asked once');
  assert.deepEqual(await store.list(), []);
  // What an earlier version has kept of them is no copy.
  server.bytes = modelBytes(SIZE);
  const name = await Store.nameOf(URL_);
  for (const ending of ['.part', '.part.sums']) await store.put(name + ending, new Uint8Array(0));
  await store.commit(name, {url: URL_, size: 0, total: 0, etag: null, lastModified: null, sha256: null, stored: 'then', complete: true});
  assert.deepEqual(await load(), server.bytes);
});

test('what a server of another origin has compressed without saying so is loaded, kept, and known again', async () => {
  const {load, server, store} = await setUp();
  server.announced = PIECE;
  await rejects(load({mode: 'no-store'}), 'network', /announced 1048576 bytes and sent more/);
  server.type = 'cors';
  assert.deepEqual(await load({mode: 'no-store'}), server.bytes);
  server.requests = [];
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(server.requests.map(({method}) => method), ['GET', 'GET']);
  assert.equal((await store.list())[0].size, SIZE);
  // Neither the tag can be seen there.
  server.tag = null;
  assert.deepEqual(await load(), server.bytes);
  assert.deepEqual(server.requests.map(({method}) => method), ['GET', 'GET', 'HEAD']);
});

test('no-cache takes the copy only where the server says that it is still good', async () => {
  const {load, server, names} = await setUp();
  const right = sha256(server.bytes);
  await load({sha256: right});
  assert.deepEqual(await load({sha256: right, mode: 'no-cache'}), server.bytes);
  assert.deepEqual([names(), server.requests.map(({method}) => method)], [['download', 'cache'], ['GET', 'HEAD']]);
  server.offline = true;
  await rejects(load({mode: 'no-cache'}), 'network');
  assert.deepEqual(await load(), server.bytes, 'which is still there for others');
});

test('list, delete, clear', async () => {
  const {load, store, disk} = await setUp();
  await load();
  assert.equal(await store.delete('https://models.test/other.gguf'), false);
  assert.equal(await store.delete(URL_), true);
  assert.deepEqual(await store.list(), []);
  assert.equal(disk.files.size, 0);
  await load();
  await store.clear();
  assert.equal(disk.files.size, 0);
});

test('a server that answers nothing but parts, or another file each time, is given up', async () => {
  const {server, load} = await setUp();
  const part = (body, headers) => async () => {
    server.requests.push({});
    return new Response(body, {status: 206, headers});
  };
  await rejects(load({mode: 'no-store', fetch: part('GGUF', {})}), 'network', /206, a part.*4 times/);
  assert.equal(server.requests.length, 4);
  // Each try gets further than where the last one began anew, and no further than the first.
  let tags = 0;
  const changing = async (url, options) => {
    server.tag = `"${++tags}"`;
    server.cuts = [PIECE];
    return server.fetch(url, {...options, headers: {Range: options.headers.Range}});
  };
  await rejects(load({mode: 'no-store', fetch: changing}), 'network', /4 times/);
  assert.ok(tags <= 5, `${tags} requests`);
});
