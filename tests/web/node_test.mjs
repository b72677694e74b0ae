// The npm package in Node, as npm packs it: node node_test.mjs [--program build/release/edge/mote]
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {createReadStream, existsSync, mkdirSync, openAsBlob, readFileSync, statSync, writeFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {Readable} from 'node:stream';
import {test} from 'node:test';
import {pathToFileURL} from 'node:url';
import {MMPROJ, MODEL, needPackage, option} from './browser.mjs';

needPackage();
const {Mote, builtIn} = await import(pathToFileURL(resolve('web/dist/node.js')).href);
const program = option('--program') ?? 'build/release/edge/mote';
const STORIES = '../shared/data/stories260K.gguf';
const PROMPT = 'Once upon a time';

const native = (model, words) => JSON.parse(execFileSync(program, ['run', model, '-p', words, '--no-chat', '--temp', '0', '-n', '60', '--json'],
                                                         {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}));

// A picture without a decoder: a red disc on white.
function disc(side = 128) {
  const data = new Uint8Array(side * side * 4).fill(255);
  for (let y = 0; y < side; ++y) {
    for (let x = 0; x < side; ++x) {
      if (Math.hypot(x - side / 2, y - side / 2) < side / 5) data.set([214, 32, 36], 4 * (y * side + x));
    }
  }
  return {data, width: side, height: side};
}

test('the built-in model sees pixels', async () => {
  await using mote = await Mote.load(builtIn());
  assert.ok(mote.info.vision);
  const answer = await mote.chat.completions.create({
    messages: [{role: 'user', content: 'What colour is it?'}], images: [disc()], temperature: 0,
  });
  assert.equal(answer.choices[0].message.content.trim(), 'red');
  await assert.rejects(mote.logits({text: '<__media__>', images: [new Blob([readFileSync('examples/scene.png')])]}), {code: 'unsupported'});
});

test('the same greedy text as native, in both modules, with 1, 2 and 4 threads', async (t) => {
  if (!existsSync(STORIES)) return t.skip(`${STORIES} is not there`);
  const expected = existsSync(program) ? native(STORIES, PROMPT) : null;
  if (!expected) t.diagnostic(`SKIPPED, ${program} is not built: the text is not compared with the native program's`);
  let first = expected?.text;
  for (const variant of ['simd128', 'relaxed']) {
    for (const threads of [1, 2, 4]) {
      await using mote = await Mote.load(STORIES, {variant, threads, context: 128});
      assert.deepEqual([mote.info.variant, mote.info.threads], [variant, threads]);
      await using session = await mote.createSession();
      const result = await session.generate(PROMPT, {temperature: 0, maxTokens: 60}).result;
      first ??= result.text;
      assert.equal(result.text, first, `${variant}, ${threads} threads`);
      if (expected) assert.deepEqual([...result.tokens], expected.tokens);
    }
  }
  return undefined;
});

test('paths, file URLs, Blobs, buffers and streams are one model', async () => {
  const sums = new Set();
  const bytes = readFileSync(MODEL);
  const sources = [MODEL, pathToFileURL(resolve(MODEL)), await openAsBlob(MODEL), bytes,
                   new Uint8Array(bytes).buffer, {stream: Readable.toWeb(createReadStream(MODEL)), size: statSync(MODEL).size}];
  for (const source of sources) {
    const mote = await Mote.load(source, {threads: 1});
    const logits = await mote.logits('Hello');
    sums.add(logits.reduce((sum, value, i) => sum + value * Math.cos(i), 0));
    await mote.dispose();
  }
  assert.equal(sums.size, 1);
  assert.equal(bytes.length, statSync(MODEL).size, 'the buffer is still its owner\'s');
  const {model} = builtIn('web/dist/models');
  assert.deepEqual([model, builtIn('web/dist/models/').model], [`web/dist/${MODEL}`, model], 'with a slash or without');
  assert.equal(builtIn(pathToFileURL('web/dist/models')).model.href, pathToFileURL(`web/dist/${MODEL}`).href);
  await assert.rejects(Mote.load('models/none.gguf'), {code: 'not-found'});
  await assert.rejects(Mote.load({model: MODEL, mmproj: MODEL}), (error) => /^(malformed|invalid-argument|unsupported)$/.test(error.code));
  assert.deepEqual(await Mote.cache.list(), []);
});

test('an answer stops, and what the worker held is given back', async () => {
  await using mote = await Mote.load(builtIn(), {context: 2048});  // a test that fails must not leave its worker running
  const controller = new AbortController();
  const session = await mote.createSession();
  const generation = session.generate('Hello', {temperature: 0, ignoreEos: true, maxTokens: 1900, signal: controller.signal});
  await assert.rejects(async () => {
    let pieces = 0;
    for await (const _ of generation) if (++pieces === 5) controller.abort();
  }, {name: 'AbortError', code: 'aborted'});
  assert.ok((await session.tokens()).length < 1900, 'before its end');
  const waiting = session.generate('Hello', {ignoreEos: true, maxTokens: 1900}).result;
  waiting.catch(() => {});
  await mote.dispose();
  await assert.rejects(waiting, {code: 'disposed'});
  await assert.rejects(mote.tokenize('x'), {code: 'disposed'});
});

test('the types let nobody make what load() and createSession() make', (t) => {
  if (!existsSync('web/node_modules/.bin/tsc')) return t.skip('typescript is not installed: scripts/web-tools');
  mkdirSync('build/web/types', {recursive: true});
  writeFileSync('build/web/types/use.ts', `
    import {Mote, type Session, type ChatChunk} from '../../../web/dist/types/index.js';
    import * as all from '../../../web/dist/types/index.js';
    // @ts-expect-error: load() makes it
    new Mote();
    // @ts-expect-error: createSession() makes it
    new all.Session();
    // @ts-expect-error: no such mode
    void Mote.load('x', {cache: 'sometimes'});
    export async function use(mote: Mote, session: Session): Promise<ChatChunk | undefined> {
      for await (const {text} of session.generate('x')) console.log(text);
      for await (const chunk of mote.chat.completions.create({messages: [], stream: true})) return chunk;
      return undefined;
    }`);
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler',
                   '--types', 'node', '--typeRoots', 'web/node_modules/@types', '--lib', 'es2024,esnext.disposable,dom'];
  execFileSync('web/node_modules/.bin/tsc', [...options, 'build/web/types/use.ts'], {stdio: 'inherit'});
  return undefined;
});

test(`what npm packs is whole (${MMPROJ} is in it)`, () => {
  const [{files}] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], {cwd: 'web', encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}));
  const names = files.map(({path}) => path);
  const {exports: entries, types, devDependencies, ...rest} = JSON.parse(readFileSync('web/package.json', 'utf8'));
  const wanted = [types, ...Object.values(entries).flatMap((entry) => typeof entry === 'string' ? [entry] : Object.values(entry))];
  for (const path of wanted.filter((one) => !one.includes('*'))) assert.ok(names.includes(path.replace('./', '')), path);
  assert.ok(names.includes(`dist/${MMPROJ}`) && names.includes('dist/LICENSE') && names.includes('README.md'));
  assert.ok(!names.some((name) => name.startsWith('src/') || name.includes('node_modules')));
  assert.equal(rest.dependencies, undefined, 'no run-time dependencies');
  assert.equal(rest.version, /project\(mote VERSION (\S+)/.exec(readFileSync('CMakeLists.txt', 'utf8'))[1], 'the engine\'s version');
  assert.ok(Object.values(devDependencies).every((version) => /^\d/.test(version)), 'exact versions');
});
