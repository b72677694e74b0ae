// Memory that does not grow, errors that say what is wrong, hostile files.
import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {createModule, ModuleError, probe} from '../../web/src/module/index.ts';
import {findMemoryImport, withPlainMemory} from '../../web/src/module/memory_import.ts';
import {ask, drawScene, eye, eyeVision, loadEye, nameOf, start, variant, wasm, ways, write} from './support.mjs';

const isError = (status, words = /./) => (error) =>
    error instanceof ModuleError && error.status === status && words.test(error.message);

test('this engine computes the relaxed dot product', async () => {
  assert.deepEqual(await probe(), {simd: true, relaxed: true});
});

describe('memory', () => {
  for (const way of [ways[0], ways[2]]) {
    test(`fifty loads leave it as large as three: ${nameOf(way)}`, async () => {
      const module = await start(way);
      const sizes = [];
      for (let i = 0; i < 50; ++i) {
        const model = loadEye(module);
        const session = model.createSession();
        const prompt = model.promptFromChat(ask('What shape is red?'), i % 10 === 0 ? [drawScene()] : []);
        session.generate(prompt, {temperature: 0, maxTokens: 4});
        if (i % 2 === 0) {  // what is left to the model is freed with it
          session.free();
          prompt.free();
        }
        model.free();
        sizes.push(module.memoryBytes);
      }
      assert.equal(sizes.at(-1), sizes[2]);
      module.dispose();
    });
  }

  // The weights lie where they were written: beside them there is scratch, the cache and the image's memory.
  test('a model takes its file, and no second copy', async () => {
    const module = await start();
    const before = module.memoryBytes;
    const file = write(module, eye);
    const withFile = module.memoryBytes;
    const model = module.loadModel(file, {context: 64, maxBatch: 8});
    const {weightBytes, scratchBytes} = model.info;
    assert.ok(withFile - before < eye.length * 1.05 + 65536 * 2, `${withFile - before} for ${eye.length}`);
    assert.ok(module.memoryBytes - withFile < scratchBytes + weightBytes * 0.3 + (1 << 20),
              `${module.memoryBytes - withFile} beside the file of ${eye.length}; scratch takes ${scratchBytes}`);
    module.dispose();
  });

  test('loads that fail leave nothing behind', async () => {
    const module = await start();
    const sizes = [];
    for (let i = 0; i < 50; ++i) {
      const cut = eye.subarray(0, eye.length - 1000 * (i % 5 + 1));
      assert.throws(() => module.loadModel(write(module, cut)), isError('malformed'));
      sizes.push(module.memoryBytes);
    }
    assert.equal(sizes.at(-1), sizes[5]);
    module.dispose();
  });

  test('what is freed and disposed of says so', async () => {
    const module = await start();
    const model = loadEye(module);
    const session = model.createSession();
    const file = module.allocate(100);
    session.free();
    session.free();
    assert.throws(() => session.generate([1]), isError('disposed', /session/));
    model.free();
    assert.throws(() => model.createSession(), isError('disposed', /model/));
    module.dispose();
    module.dispose();
    file.free();
    assert.throws(() => module.allocate(1), isError('disposed'));
    assert.throws(() => file.bytes(), isError('disposed'));
  });

  test('more than there can be is refused', async () => {
    const module = await start({maxMemory: 64 << 20});
    assert.throws(() => module.allocate(200 << 20), isError('out_of_memory', /209715200/));
    assert.throws(() => module.allocate(2 ** 33), isError('out_of_memory'));
    assert.throws(() => module.allocate(0), isError('invalid_argument'));
    const model = loadEye(module, {context: 200000});  // what is left still works
    assert.throws(() => model.createSession(), isError('out_of_memory'));
    assert.equal(model.createSession(100).generate([1], {temperature: 0, maxTokens: 2, ignoreEos: true}).tokens.length, 2);
    module.dispose();
  });
});

describe('errors', () => {
  test('arguments', async () => {
    const module = await start();
    const model = loadEye(module);
    const session = model.createSession(64);
    assert.throws(() => model.detokenize([1 << 20]), isError('invalid_argument'));
    assert.throws(() => session.eval(new Array(65).fill(1)), isError('context_full'));
    assert.throws(() => session.generate([1], {topP: 7}), isError('invalid_argument', /top_p/));
    assert.throws(() => model.grammarFromGbnf('root ::= ('), isError('malformed'));
    assert.throws(() => model.renderChat([{role: 'user', content: 'a\0b'}]), isError('invalid_argument', /NUL/));
    const pixels = {data: new Uint8Array(10), width: 4, height: 4};
    assert.throws(() => model.promptFromChat(ask('x'), [pixels]), isError('invalid_argument', /10 bytes/));
    const file = module.allocate(10);
    assert.throws(() => file.write(5, new Uint8Array(6)), isError('invalid_argument'));
    assert.throws(() => module.loadModel({size: 3}), isError('invalid_argument'));
    module.dispose();
  });

  test('an exception of a callback comes out of the call, and the session goes on', async () => {
    const module = await start();
    const model = loadEye(module);
    const session = model.createSession();
    const tokens = model.tokenizeChat(ask('hello'));
    const boom = () => {
      throw new TypeError('boom');
    };
    for (const name of ['onText', 'onToken', 'onProgress']) {
      assert.throws(() => session.generate(tokens, {ignoreEos: true, maxTokens: 9, [name]: boom}),
                    (error) => error instanceof TypeError, name);
      session.truncate(0);
    }
    assert.throws(() => module.loadModel(write(module, eye), {onProgress: boom}), TypeError);
    assert.equal(session.generate(tokens, {ignoreEos: true, maxTokens: 3}).tokens.length, 3);
    module.dispose();
  });

  test('calls within callbacks', async () => {
    const module = await start();
    const model = loadEye(module);
    const session = model.createSession();
    const words = [];
    const {tokens, text} = session.generate(model.tokenizeChat(ask('hello')), {
      temperature: 0, ignoreEos: true, maxTokens: 20,
      onToken: ({token}) => {
        words.push(Buffer.from(model.tokenText(token)).toString());
        assert.equal(model.tokenize('What shape is red? '.repeat(100)).length > 100, true);
      },
    });
    assert.equal(words.length, tokens.length);
    assert.equal(words.join('').trim(), text.trim());
    module.dispose();
  });

  test('modules that cannot be had', async () => {
    const at = (source) => createModule({variant, wasm: {[variant]: source}, threads: 1});
    await assert.rejects(at(new URL('./missing.wasm', import.meta.url)), isError('no_module'));
    await assert.rejects(at(new Uint8Array([1, 2, 3])), isError('no_module'));
    await assert.rejects(createModule({variant, wasm, threads: 65}), isError('invalid_argument'));
    const signal = AbortSignal.abort();
    await assert.rejects(createModule({variant, wasm, signal}), {name: 'AbortError'});
  });

  test('a helper that does not come leaves one thread, which works', async () => {
    const module = await start({
      threads: 3, createThread: () => ({
        postMessage() {}, onMessage() {}, onError: (listener) => listener(new Error('no helper')), terminate() {},
      }),
    });
    assert.equal(module.threads, 1);
    assert.match(module.threadsReason, /no helper/);
    const model = loadEye(module);
    assert.equal(model.createSession().generate([1], {temperature: 0, maxTokens: 2, ignoreEos: true}).tokens.length, 2);
    module.dispose();
  });
});

describe('hostile files', () => {
  // A generator of its own, so that a failure can be repeated.
  const random = (seed) => () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8;

  test('cut and changed files are refused or loaded, never a crash', async () => {
    const module = await start();
    const next = random(7);
    let refused = 0;
    for (let i = 0; i < 120; ++i) {
      const bytes = new Uint8Array(i % 3 === 0 ? eye.subarray(0, next() % eye.length) : eye);
      if (bytes.length === 0) continue;
      for (let change = 0; change < 1 + i % 4; ++change) bytes[next() % Math.min(bytes.length, 20000)] = next();
      try {
        const model = module.loadModel(write(module, bytes), {context: 64});
        model.createSession().generate([1, 2, 3], {temperature: 0, maxTokens: 2});
        model.free();
      } catch (error) {
        assert.ok(error instanceof ModuleError, String(error));
        assert.notEqual(error.status, 'crashed', error.message);
        ++refused;
      }
    }
    assert.ok(refused > 40, `${refused} of 120 refused`);
    const model = loadEye(module);
    assert.throws(() => model.loadVision(write(module, eyeVision)), isError('invalid_argument', /already/));
    module.dispose();
  });

  test('a file of another kind', async () => {
    const module = await start();
    assert.throws(() => module.loadModel(write(module, Buffer.from('<!doctype html>'.repeat(10)))),
                  isError('malformed', /web page/));
    const model = module.loadModel(write(module, eye));
    assert.throws(() => model.loadVision(write(module, eye)), ModuleError);
    assert.throws(() => model.promptFromChat(ask('x'), [drawScene()]), isError('unsupported'));
    module.dispose();
  });
});

describe('the import of memory', () => {
  test('it is found, and made plain by one byte', async () => {
    const {readFile} = await import('node:fs/promises');
    const bytes = new Uint8Array(await readFile(wasm[variant]));
    const found = findMemoryImport(bytes);
    assert.equal(found.shared, true);
    assert.equal(found.maximum, 65536);
    const plain = withPlainMemory(bytes);
    assert.deepEqual(findMemoryImport(plain), {...found, shared: false});
    assert.equal(bytes.filter((byte, i) => byte !== plain[i]).length, 1);
    for (const length of [0, 7, 8, 20, 60]) assert.throws(() => findMemoryImport(bytes.subarray(0, length)), RangeError);
  });
});
