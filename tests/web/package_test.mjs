// The npm package in Debian's chromium, with the model in the box: node package_test.mjs [--program build/release/edge/mote]
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {after, before, test} from 'node:test';
import {gzipSync} from 'node:zlib';
import {MMPROJ, MODEL, cutShort, needBrowser, openPackage, option, site, startSite} from './browser.mjs';
import {splitModel} from './split_model.mjs';
import {POLICY} from '../../web/serve.mjs';

const launch = await needBrowser();
const program = option('--program') ?? 'build/release/edge/mote';
const QUESTIONS = ['What shape is blue?', 'How many shapes are there?', 'Describe the picture.'];
const SCENE = `data:image/png;base64,${readFileSync('examples/scene.png').toString('base64')}`;
// Not isolated, and modules forbidden.
const PLAIN = {'Cross-Origin-Opener-Policy': null, 'Cross-Origin-Embedder-Policy': null};
const policy = (script, worker = "'self'") => ({
  'Content-Security-Policy': `default-src 'none'; script-src 'self' ${script}; connect-src 'self'; worker-src ${worker}`,
});

let browser;
let folder;
const servers = [];
async function serveSite(options) {
  const server = await startSite(folder, options);
  servers.push(server);
  return server;
}

before(async () => {
  folder = await site('package');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  for (const server of servers) await server.close();
});

// Asks greedily about the scene; [texts].
const askAll = (page) => page.evaluate(async ([scene, questions]) => {
  const texts = [];
  for (const question of questions) {
    const answer = await window.model.chat.completions.create({
      temperature: 0, max_tokens: 60,
      messages: [{role: 'user', content: [{type: 'image_url', image_url: {url: scene}}, {type: 'text', text: question}]}],
    });
    texts.push(answer.choices[0].message.content);
  }
  return texts;
}, [SCENE, QUESTIONS]);

const native = () => QUESTIONS.map((question) => JSON.parse(execFileSync(program, [
  'run', MODEL, '-mm', MMPROJ, '--image', 'examples/scene.png', '-p', question, '--temp', '0', '-n', '60', '--json',
], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']})).text);

let spoken;

test('isolated: threads, a cache, streams, and the words of the native program', async (t) => {
  const server = await serveSite();
  const page = await openPackage(browser, server.url);
  const info = await page.evaluate(async () => {
    window.model = await window.load({threads: 2});
    return {...window.model.info, isolated: window.crossOriginIsolated, phases: window.phases};
  });
  assert.deepEqual([info.isolated, info.threads, info.threadsReason, info.variant], [true, 2, '', 'relaxed']);
  assert.equal(info.model.name, 'mote eye');
  assert.deepEqual([...new Set(info.phases)].sort(), ['0 download', '0 prepare', '1 download', '1 prepare']);
  spoken = await askAll(page);
  if (existsSync(program)) {
    assert.deepEqual(spoken, native(), 'the same greedy text as native');
  } else {
    t.diagnostic(`SKIPPED, ${program} is not built: the text is not compared with the native program's`);
  }
  const streamed = await page.evaluate(async ([scene, question]) => {
    const chunks = [];
    for await (const chunk of window.model.chat.completions.create({
      stream: true, temperature: 0, max_tokens: 60,
      messages: [{role: 'user', content: [{type: 'image_url', image_url: {url: scene}}, {type: 'text', text: question}]}],
    })) chunks.push(chunk);
    return chunks;
  }, [SCENE, QUESTIONS[2]]);
  assert.equal(streamed.map(({choices}) => choices[0].delta.content ?? '').join(''), spoken[2]);
  assert.ok(streamed.length > 4, 'in pieces');
  const {usage, timings} = streamed.at(-1);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.ok(usage.prompt_tokens_details.image_tokens >= 16 && timings.predicted_n === usage.completion_tokens);
  const again = await page.evaluate(async () => {
    await window.model.dispose();
    window.phases.length = 0;
    window.model = await window.load({threads: 1, variant: 'simd128'});
    return {variant: window.model.info.variant, threads: window.model.info.threads, phases: window.phases, files: await window.mote.Mote.cache.list()};
  });
  assert.deepEqual([again.variant, again.threads], ['simd128', 1]);
  assert.deepEqual([...new Set(again.phases)].sort(), ['0 cache', '0 prepare', '1 cache', '1 prepare'], 'from the cache');
  assert.deepEqual(again.files.map(({url, complete}) => [new URL(url).pathname, complete]).sort(), [[`/${MMPROJ}`, true], [`/${MODEL}`, true]]);
  assert.deepEqual(await askAll(page), spoken, 'either module and any number of threads say the same');
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('not isolated: one thread, the same words', async () => {
  const server = await serveSite({headers: PLAIN});
  const page = await openPackage(browser, server.url);
  const info = await page.evaluate(async () => {
    window.model = await window.load();
    return {...window.model.info, isolated: window.crossOriginIsolated};
  });
  assert.deepEqual([info.isolated, info.threads], [false, 1]);
  assert.match(info.threadsReason, /isolated/);
  assert.deepEqual(await askAll(page), spoken);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('tokens, vectors, logits, sessions', async () => {
  const server = await serveSite();
  const page = await openPackage(browser, server.url);
  const out = await page.evaluate(async () => {
    const model = window.model = await window.load();
    const text = 'What shape is blue?';
    const tokens = await model.tokenize(text, {addSpecial: false});
    const logits = await model.logits(tokens);
    const all = await model.logits(tokens, {all: true});
    const vector = await model.embed(text);
    const session = await model.createSession({context: 64});
    await session.eval(tokens.slice(0, 2));
    const count = await session.eval(tokens.slice(2));
    const held = await session.logits();
    await session.truncate(2);
    const kept = await session.tokens();
    const prefix = await session.keepPrefix(tokens);
    const pieces = [];
    const generation = session.generate(text, {temperature: 0, maxTokens: 5, ignoreEos: true});
    for await (const {text: piece} of generation) pieces.push(piece);
    const {finishReason, tokens: made, text: whole} = await generation.result;
    const full = await window.failure(session.generate(Array(64).fill(tokens[0])).result);
    await session.dispose();
    const gone = await window.failure(session.tokens());
    const memory = await model.memory();
    const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);
    const {vocabSize, width} = model.info.model;
    return {
      back: await model.detokenize(tokens), count: tokens.length, logits: logits.length === vocabSize,
      all: all.length === vocabSize * tokens.length && same(all.slice(-vocabSize), logits), evaluated: count, held: same(held, logits),
      kept: kept.length, prefix, width: vector.length === width, norm: Math.hypot(...vector), finishReason, made: made.length,
      whole: pieces.join('') === whole, full, gone, sessions: memory.sessions, bytes: memory.moduleBytes,
    };
  });
  assert.deepEqual({...out, norm: Math.abs(out.norm - 1) < 1e-5, bytes: out.bytes > 1e6, full: out.full.code, gone: out.gone.code}, {
    back: 'What shape is blue?', count: out.count, logits: true, all: true, evaluated: out.count, held: true, kept: 2, prefix: 2, width: true,
    norm: true, finishReason: 'length', made: 5, whole: true, full: 'context-full', gone: 'not-found', sessions: 0, bytes: true,
  });
  // Room for every blank that the grammar allows, a line's end and 32 of indent at each of four places: this model likes blanks.
  const schema = await page.evaluate(async () => {
    const answer = await window.model.chat.completions.create({
      messages: [{role: 'user', content: 'Hello'}], temperature: 0, max_tokens: 256, logprobs: true, top_logprobs: 2,
      response_format: {type: 'json_schema', json_schema: {schema: {type: 'object', properties: {n: {type: 'boolean'}}, required: ['n'], additionalProperties: false}}},
    });
    return {content: answer.choices[0].message.content, logprobs: answer.choices[0].logprobs.content};
  });
  assert.equal(typeof JSON.parse(schema.content).n, 'boolean', 'held to the schema');
  assert.ok(schema.logprobs.length > 0 && schema.logprobs.every(({top_logprobs: top}) => top.length === 2));
  await page.context().close();
});

test('pictures of every kind are the same picture', async () => {
  // A URL of a Blob is fetched, which the policy has to allow.
  const server = await serveSite({headers: {'Content-Security-Policy': `${POLICY}; connect-src 'self' blob:`.replace("connect-src 'self';", '')}});
  const page = await openPackage(browser, server.url);
  const sums = await page.evaluate(async (scene) => {
    const model = window.model = await window.load();
    const image = new Image();
    image.src = scene;
    await image.decode();
    const {naturalWidth: width, naturalHeight: height} = image;
    const canvas = Object.assign(document.createElement('canvas'), {width, height});
    canvas.getContext('2d').drawImage(image, 0, 0);
    const offscreen = new OffscreenCanvas(width, height);
    offscreen.getContext('2d').drawImage(image, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    const data = canvas.getContext('2d').getImageData(0, 0, width, height);
    const bitmap = await createImageBitmap(canvas);
    const frame = new VideoFrame(data.data, {format: 'RGBA', codedWidth: width, codedHeight: height, timestamp: 0});
    const kinds = {url: scene, image, canvas, offscreen, blob, data, bitmap, frame, file: new File([blob], 'a.png', {type: 'image/png'}),
                   object: URL.createObjectURL(blob), pixels: {data: new Uint8Array(data.data), width, height}};
    const sums = {};
    for (const [kind, input] of Object.entries(kinds)) {
      const logits = await model.logits({text: '<__media__>', images: [input]});
      sums[kind] = logits.reduce((sum, value, i) => sum + value * Math.cos(i), 0);
    }
    // Nothing was taken from its owner.
    sums.bitmapLeft = bitmap.width;
    sums.frameLeft = frame.format;
    sums.dataLeft = data.data.length;
    sums.none = await model.logits({text: '<__media__>', images: [new ImageData(8, 8)]}).then((logits) => logits.reduce((sum, value, i) => sum + value * Math.cos(i), 0));
    sums.errors = [];
    for (const bad of [new Blob(['no picture']), {data: new Uint8Array(3), width: 1, height: 1}, document.createElement('canvas').appendChild(document.createElement('b'))]) {
      sums.errors.push((await window.failure(model.logits({text: '<__media__>', images: [bad]}))).code);
    }
    return sums;
  }, SCENE);
  const {bitmapLeft, frameLeft, dataLeft, errors, none, frame, ...others} = sums;
  for (const [kind, sum] of Object.entries(others)) assert.equal(sum, others.url, kind);
  assert.ok(Math.abs(frame - others.url) < 1e-3 * Math.abs(others.url), 'a VideoFrame, up to its colour space');
  assert.notEqual(none, others.url, 'another picture is another');
  assert.ok(bitmapLeft > 0 && frameLeft !== null && dataLeft > 0);
  assert.deepEqual(errors, ['invalid-argument', 'invalid-argument', 'unsupported']);
  const large = await page.evaluate(async (scene) => {
    const {model} = window;
    const image = new Image();
    image.src = scene;
    await image.decode();
    const [width, height] = [3200, 2800];
    const canvas = Object.assign(document.createElement('canvas'), {width, height});
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0, width, height);
    const data = pen.getImageData(0, 0, width, height);
    const rgb = {data: new Uint8Array(3 * width * height), width, height, channels: 3};
    for (let i = 0; i < width * height; ++i) for (let c = 0; c < 3; ++c) rgb.data[3 * i + c] = data.data[4 * i + c];
    const before = (await model.memory()).moduleBytes;
    const sums = [];
    for (const input of [canvas, data, rgb]) {
      const logits = await model.logits({text: '<__media__>', images: [input]});
      sums.push(logits.reduce((sum, value, i) => sum + value * Math.cos(i), 0));
    }
    return {sums, grown: (await model.memory()).moduleBytes - before};
  }, SCENE);
  assert.equal(new Set(large.sums).size, 1, String(large.sums));
  assert.ok(large.grown < 30e6, `36 MB of pixels are made smaller before they are taken: ${large.grown} bytes`);
  await page.context().close();
});

test('a picture of another origin without CORS, and a stream that fails, are told as what they are', async () => {
  const picture = readFileSync('examples/scene.png');
  const other = await serveSite({headers: {'Cross-Origin-Resource-Policy': 'cross-origin'}, faults: {before: (request, response) => {
    response.writeHead(200, {'Content-Type': 'image/png', 'Cross-Origin-Resource-Policy': 'cross-origin'}).end(picture);
    return true;
  }}});
  const server = await serveSite({headers: {'Content-Security-Policy': null}});
  const page = await openPackage(browser, server.url);
  const [image, late, stream] = await page.evaluate(async (url) => {
    const model = await window.load();
    const image = new Image();
    image.src = url;
    await image.decode();
    const ask = (images, signal) => window.failure(model.chat.completions.create({messages: [{role: 'user', content: 'x'}], images, signal}));
    const failures = [await ask([image]), await ask([`${location.origin}/models/`], AbortSignal.timeout(0))];
    const broken = new ReadableStream({pull(controller) { controller.error(new Error('the tape broke')); }});
    return [...failures, await window.failure(window.load({}, {stream: broken, size: 1000}))];
  }, `${other.url}a.png`);
  assert.equal(image.code, 'invalid-argument', image.message);
  assert.match(image.message, /with CORS/);
  assert.equal(late.code, 'aborted', late.message);
  assert.deepEqual([stream.code, stream.message], ['network', 'the stream failed: the tape broke']);
  await page.context().close();
});

test('an answer stops within a token, also where no memory is shared', async () => {
  for (const headers of [{}, PLAIN]) {
    const server = await serveSite({headers});
    const page = await openPackage(browser, server.url);
    const out = await page.evaluate(async () => {
      const model = window.model = await window.load({context: 2048});
      const session = await model.createSession();
      const controller = new AbortController();
      const generation = session.generate('How many shapes are there?', {temperature: 0, maxTokens: 1900, ignoreEos: true, signal: controller.signal});
      let pieces = 0;
      let late = 0;
      const failure = await window.failure((async () => {
        for await (const piece of generation) {
          if (++pieces === 5) controller.abort();
          late += piece && controller.signal.aborted ? 1 : 0;
        }
      })());
      const held = (await session.tokens()).length;
      const next = await session.generate('How many shapes are there?', {temperature: 0, maxTokens: 3, ignoreEos: true}).result;
      // What is no answer is stopped as well, in its midst.
      const long = Array.from(await model.tokenize('What shape is blue? '.repeat(400))).slice(0, 1900);
      const stopped = async (run, after) => {
        const stopper = new AbortController();
        if (after) setTimeout(() => stopper.abort(), after);
        return (await window.failure(run(stopper))).code;
      };
      const one = await model.createSession();
      const codes = [
        await stopped(({signal}) => model.logits(long, {all: true, signal}), 5),
        await stopped((stopper) => one.eval(long, {signal: stopper.signal, onProgress: () => stopper.abort()})),
        ...(window.crossOriginIsolated ? [await stopped(({signal}) => model.embed(long, {signal}), 5)] : ['aborted']),
      ];
      const computed = (await one.tokens()).length;
      const whole = await model.logits(long);
      return {failure, pieces, late, held, next: next.tokens.length, cached: next.cachedTokens, codes, computed, whole: whole.every(Number.isFinite)};
    });
    assert.deepEqual([out.codes, out.whole], [['aborted', 'aborted', 'aborted'], true]);
    assert.ok(out.computed < 1900, `${out.computed} tokens computed`);
    assert.deepEqual([out.failure.code, out.failure.name], ['aborted', 'AbortError']);
    // What was under way while the page heard of the fifth piece, and not the rest of 1900.
    assert.ok(out.held < 200, `${out.held} tokens held`);
    assert.deepEqual([out.next, out.cached > 0], [3, true], 'the session goes on from what it holds');
    await page.context().close();
  }
});

test('a policy that forbids WebAssembly, or the worker, is named', async () => {
  const noWasm = await serveSite({headers: policy('')});
  let page = await openPackage(browser, noWasm.url);
  let failure = await page.evaluate(() => window.failure(window.load()));
  assert.equal(failure.code, 'csp-blocked', failure.message);
  assert.match(failure.message, /script-src 'wasm-unsafe-eval'/);
  await page.context().close();
  const noWorker = await serveSite({headers: policy("'wasm-unsafe-eval'", "'none'")});
  page = await openPackage(browser, noWorker.url);
  failure = await page.evaluate(() => window.failure(window.load()));
  assert.equal(failure.code, 'csp-blocked', failure.message);
  assert.match(failure.message, /worker-src 'self'/);
  await page.context().close();
  const typed = await serveSite({headers: {'Content-Security-Policy': `${POLICY}; require-trusted-types-for 'script'`}});
  page = await openPackage(browser, typed.url);
  failure = await page.evaluate(() => window.failure(window.load()));
  assert.equal(failure.code, 'csp-blocked', failure.message);
  assert.match(failure.message, /Trusted Types.*require-trusted-types-for/s);
  await page.context().close();
});

test('a missing worker, module, model, and what is no model', async () => {
  const missing = {before: (request, response) => {
    if (!missing.what?.test(request.url)) return false;
    response.writeHead(404).end();
    return true;
  }};
  const server = await serveSite({faults: missing});
  const page = await openPackage(browser, server.url);
  const fail = (what, source) => {
    missing.what = what;
    return page.evaluate((url) => window.failure(url ? window.load({}, url) : window.load()), source);
  };
  assert.equal((await fail(/worker\.js/)).code, 'module');
  assert.equal((await fail(/\.wasm/)).code, 'module');
  // The files came all the same, and were kept.
  await page.evaluate(() => window.mote.Mote.cache.clear());
  const absent = await fail(/\.gguf/);
  assert.deepEqual([absent.code, /answered 404/.test(absent.message)], ['network', true]);
  const page_ = await fail(null, '/blank.html');
  assert.deepEqual([page_.code, /no GGUF file/.test(page_.message)], ['malformed', true]);
  const broken = await page.evaluate(() => window.failure(window.load({}, new TextEncoder().encode('GGUF\x03\0\0\0 and nothing'))));
  assert.equal(broken.code, 'malformed', broken.message);
  const blind = await page.evaluate(async () => {
    const model = await window.load({}, '/models/mote-eye-q8_0.gguf');
    const failure = await window.failure(model.chat.completions.create({messages: [{role: 'user', content: 'x'}], images: [new ImageData(4, 4)]}));
    await model.dispose();
    return [failure.code, failure.message, (await window.failure(model.tokenize('x'))).code];
  });
  assert.deepEqual([blind[0], /mmproj/.test(blind[1]), blind[2]], ['unsupported', true, 'disposed']);
  await page.context().close();
});

test('files, buffers, streams, and parts', async () => {
  const server = await serveSite();
  const page = await openPackage(browser, server.url);
  const parts = splitModel(readFileSync(MODEL), 2).map((part) => part.toString('base64'));
  const out = await page.evaluate(async (parts) => {
    const [model, mmproj] = await Promise.all(['/models/mote-eye-q8_0.gguf', '/models/mmproj-mote-eye-q8_0.gguf'].map((url) =>
      fetch(url).then((response) => response.arrayBuffer())));
    const pieces = (buffer) => new Blob([buffer]).stream();
    const sources = {
      buffer: {model, mmproj}, bytes: {model: new Uint8Array(model), mmproj: new Uint8Array(mmproj)},
      blob: {model: new Blob([model]), mmproj: new File([mmproj], 'm.gguf')},
      stream: {model: {stream: pieces(model), size: model.byteLength}, mmproj: pieces(mmproj)},
    };
    const [first, second] = parts;
    const part = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    sources.parts = {model: [new Blob([part(first)]), part(second)], mmproj};
    const sums = {};
    for (const [kind, source] of Object.entries(sources)) {
      const one = await window.load({cache: 'no-store'}, source);
      const logits = await one.logits({text: '<__media__>', images: [new ImageData(16, 16)]});
      sums[kind] = logits.reduce((sum, value, i) => sum + value * Math.cos(i), 0);
      await one.dispose();
    }
    return {sums, left: model.byteLength, cached: (await window.mote.Mote.cache.list()).length};
  }, parts);
  assert.deepEqual(new Set(Object.values(out.sums)).size, 1, JSON.stringify(out.sums));
  assert.ok(out.left > 0, 'the buffer is still its owner\'s');
  assert.equal(out.cached, 0);
  await page.context().close();
});

test('a browser without room says so, and loads without keeping', async () => {
  const server = await serveSite();
  const page = await openPackage(browser, server.url);
  const session = await page.context().newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', {origin: new URL(server.url).origin, quotaSize: 1000000});
  const failure = await page.evaluate(() => window.failure(window.load()));
  assert.equal(failure.code, 'quota', failure.message);
  // Some versions tell pages no true quota before they write.
  assert.match(failure.message, /the browser's storage (has \d+ left|is full).*no-store/);
  const out = await page.evaluate(async () => {
    window.model = await window.load({cache: 'no-store'});
    return {version: window.model.info.version, files: (await window.mote.Mote.cache.list()).length};
  });
  assert.deepEqual([typeof out.version, out.files], ['string', 0]);
  await page.context().close();
});

test('a byte that turned over in the cache is found, and the file fetched again', async () => {
  const server = await serveSite();
  const page = await openPackage(browser, server.url);
  const out = await page.evaluate(async () => {
    await (await window.load()).dispose();
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('mote-models');
    for await (const [name, handle] of folder.entries()) {
      const file = await handle.getFile();
      if (!name.endsWith('.gguf') || file.size < 3e6) continue;
      const writer = await handle.createWritable({keepExistingData: true});
      await writer.write({type: 'write', position: 1500000, data: new Uint8Array([1, 2, 3])});
      await writer.close();
    }
    window.phases.length = 0;
    window.model = await window.load();
    return {phases: window.phases, size: await window.mote.Mote.cache.size()};
  });
  assert.ok(out.phases.includes('1 corrupted') && out.phases.includes('1 download'), String(out.phases));
  assert.ok(!out.phases.includes('0 corrupted'));
  assert.deepEqual(await askAll(page), spoken);
  await page.context().close();
});

test('a file that is whole and yet no model is not kept', async () => {
  const model = readFileSync(MODEL);
  const bodies = [model.subarray(0, 900000), Buffer.concat([model.subarray(0, 8), Buffer.alloc(200000, 7)]), Buffer.alloc(0)];
  let body = null;
  const faults = {before: (request, response, headers) => {
    if (!request.url.endsWith(`/${MODEL}`) || !body) return false;
    for (const [name, value] of Object.entries(headers)) if (value !== null) response.setHeader(name, value);
    response.writeHead(200, {'Content-Length': body.length, 'ETag': '"one"'});
    response.end(request.method === 'HEAD' ? '' : body);
    return true;
  }};
  const server = await serveSite({faults});
  const page = await openPackage(browser, server.url);
  const cached = () => page.evaluate(async () => (await window.mote.Mote.cache.list()).map(({url}) => new URL(url).pathname));
  for (body of bodies) {
    const failure = await page.evaluate(() => window.failure(window.load()));
    assert.equal(failure.code, 'malformed', failure.message);
    assert.ok(!(await cached()).includes(`/${MODEL}`), `of ${body.length} bytes nothing is left`);
  }
  body = null;
  await page.evaluate(async () => { window.model = await window.load({cache: 'force-cache'}); });
  assert.deepEqual(await askAll(page), spoken);
  await page.context().close();
});

test('a file of another origin that is sent compressed', async () => {
  const packed = gzipSync(readFileSync(MODEL), {level: 1});
  const other = await serveSite({headers: {'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin'}, faults: {
    before: (request, response, headers) => {
      if (!request.url.endsWith(`/${MODEL}`)) return false;
      for (const [name, value] of Object.entries(headers)) if (value !== null) response.setHeader(name, value);
      response.writeHead(200, {'Content-Encoding': 'gzip', 'Content-Length': packed.length});
      response.end(request.method === 'HEAD' ? '' : packed);
      return true;
    }}});
  const server = await serveSite({headers: {'Content-Security-Policy': null}});
  const page = await openPackage(browser, server.url);
  const load = () => page.evaluate(async (base) => {
    window.model = await window.load({}, window.mote.builtIn(`${base}models/`));
  }, other.url);
  await load();
  assert.deepEqual(await askAll(page), spoken);
  other.requests.length = 0;
  await load();
  assert.deepEqual(other.requests.map(({method}) => method), ['HEAD', 'HEAD'], 'and is known again');
  await page.context().close();
});

test('a network that is cut is taken up: at once, and by the next visit', async () => {
  let cuts = 1;
  const faults = {before: (request, response, headers) => {
    if (!request.url.endsWith('mmproj-mote-eye-q8_0.gguf') || request.method !== 'GET') return false;
    return cuts-- > 0 ? cutShort(folder, request, response, headers, 1500000) : cutShort(folder, request, response, headers, 1e9);
  }};
  const server = await serveSite({faults});
  const page = await openPackage(browser, server.url);
  const phases = await page.evaluate(async () => {
    await (await window.load()).dispose();
    return window.phases;
  });
  assert.ok(phases.includes('1 resume'), String(phases));
  const ranges = () => server.requests.filter(({url, method}) => url.endsWith(MMPROJ) && method === 'GET').map(({range}) => range);
  const [first, second, ...more] = ranges();
  assert.deepEqual([first, more], [null, []]);
  assert.match(second, /^bytes=\d{4,}-$/);
  // Now nothing comes any more, until the page is opened again.
  await page.evaluate(() => window.mote.Mote.cache.clear());
  server.requests.length = 0;
  faults.before = (request, response, headers) => {
    if (!request.url.endsWith('mmproj-mote-eye-q8_0.gguf') || request.method !== 'GET') return false;
    if (!request.headers.range) return cutShort(folder, request, response, headers, 2500000);
    response.destroy();
    return true;
  };
  const failure = await page.evaluate(() => window.failure(window.load()));
  assert.equal(failure.code, 'network', failure.message);
  await page.reload();
  faults.before = (request, response, headers) => request.url.endsWith('mmproj-mote-eye-q8_0.gguf') && request.method === 'GET'
    && cutShort(folder, request, response, headers, 1e9);
  server.requests.length = 0;
  const again = await openPackage(browser, server.url, {context: page.context()});
  const later = await again.evaluate(async () => {
    window.model = await window.load();
    return window.phases;
  });
  assert.ok(later.includes('1 resume'), String(later));
  assert.match(ranges()[0], /^bytes=(1048576|2097152)-$/);
  assert.deepEqual(await askAll(again), spoken);
  await page.context().close();
});

test('two tabs at once: one fetches, both run', async () => {
  let open;
  const gate = new Promise((resolve) => { open = resolve; });
  const faults = {before: async (request) => {
    if (request.method === 'GET' && request.url.endsWith('.gguf')) await gate;
    return false;
  }};
  const server = await serveSite({faults});
  const context = await browser.newContext();
  const tabs = [await openPackage(browser, server.url, {context}), await openPackage(browser, server.url, {context})];
  const loads = [tabs[0].evaluate(async () => { window.model = await window.load(); })];
  while (server.requests.filter(({url}) => url.endsWith('.gguf')).length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  loads.push(tabs[1].evaluate(async () => { window.model = await window.load(); }));
  await tabs[1].waitForFunction(() => window.phases.filter((phase) => phase.endsWith('waiting')).length === 2);
  open();
  await Promise.all(loads);
  assert.equal(server.requests.filter(({url, method}) => url.endsWith('.gguf') && method === 'GET').length, 2, 'each file once');
  for (const tab of tabs) assert.deepEqual(await askAll(tab), spoken);
  await context.close();
});

test('a load can be stopped', async () => {
  const faults = {before: (request) => request.url.endsWith('.gguf') ? new Promise(() => {}) : false};
  const server = await serveSite({faults});
  const page = await openPackage(browser, server.url);
  const failure = await page.evaluate(async () => {
    const controller = new AbortController();
    const loading = window.load({signal: controller.signal});
    setTimeout(() => controller.abort(), 100);
    return window.failure(loading);
  });
  assert.deepEqual([failure.code, failure.name], ['aborted', 'AbortError']);
  await page.context().close();
});

// Kilobytes that all processes of this browser hold, shared pages counted once.
async function resident(session) {
  const {processInfo} = await session.send('SystemInfo.getProcessInfo');
  let sum = 0;
  for (const {id, type} of processInfo) {
    if (type !== 'renderer' || !existsSync(`/proc/${id}/smaps_rollup`)) continue;
    sum += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'utf8'))[1]);
  }
  return sum;
}

test('fifty loads leave the memory flat', async () => {
  const server = await serveSite();
  const page = await openPackage(browser, server.url);
  const session = await browser.newBrowserCDPSession();
  const heap = await page.context().newCDPSession(page);
  const loads = (count) => page.evaluate(async (times) => {
    let bytes = 0;
    for (let i = 0; i < times; ++i) {
      const model = await window.load({cache: 'force-cache'});
      await model.logits('Hello');
      bytes = (await model.memory()).moduleBytes;
      await model.dispose();
    }
    return bytes;
  }, count);
  const bytes = await loads(10);
  // Threads end when they come to it, and garbage is collected when the browser likes: the least of some seconds, of what
  // cannot be collected.
  const settled = async (enough, tries) => {
    let least = Infinity;
    for (let i = 0; i < tries && least > enough; ++i) {
      await heap.send('HeapProfiler.collectGarbage');
      await new Promise((resolve) => setTimeout(resolve, 250));
      least = Math.min(least, await resident(session));
    }
    return least;
  };
  const first = await settled(0, 40);
  await loads(40);
  // Had only two of the forty been left, it would be more than this.
  const most = first + 1.5 * bytes / 1024;
  const last = await settled(most, 160);
  assert.ok(last <= most, `${first} KiB after 10 loads, ${last} KiB after 50; a load takes ${bytes / 1024} KiB`);
  await page.context().close();
});
