// mote beside wllama (llama.cpp's WebAssembly build) in one page of one chromium, on the same files, in turns:
//   node web_speed.mjs --cache DIR [--threads 1,2] [--rounds 5] [--prompt 512] [--generated 32] [--native mote_speed] MODEL.gguf...
//
// With --native, mote's own native rows (SSE4, and the widest AVX-512 that the processor has) in the same turns.
//
// Both are timed from outside and alike: a request's begin, its first piece of text, its last. Prefill is the prompt's
// tokens by the time to the first piece; decode is the pieces after the first by the time between them. wllama takes no
// token ids, so the prompt is of words that are one token each (make_model.cc), and its own count is checked; random
// weights would write bytes that are no UTF-8, which ends its module, so one ASCII token is biased, on both sides.
import {createReadStream, existsSync, readFileSync, statSync} from 'node:fs';
import {loadavg} from 'node:os';
import {basename, dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {serve} from '../../web/serve.mjs';
import {startNative} from './native_speed.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const words = process.argv.slice(2);
const take = (name, otherwise) => {
  const at = words.indexOf(name);
  return at < 0 ? otherwise : words.splice(at, 2)[1];
};
const cache = resolve(take('--cache', 'build/peers'));
const threadCounts = take('--threads', '1,2').split(',').map(Number);
const rounds = Number(take('--rounds', '5'));
const prompt = Number(take('--prompt', '512'));
const generated = Number(take('--generated', '32'));
const context = prompt + 2 * generated + 64;
const nativeProgram = take('--native', null);
const models = words;
const LETTER = 100;  // the byte token of "a"

function fail(why) {
  console.error(`web_speed.mjs: ${why}`);
  process.exit(1);
}
const module = join(root, 'build/tools/browser/node_modules/playwright-core/index.mjs');
if (!existsSync(module)) fail('playwright-core is not installed: scripts/playwright');
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path)) ?? fail('chromium is not installed');
const wllama = join(cache, 'node_modules/@wllama/wllama');
if (!existsSync(wllama)) fail(`${wllama} is missing`);
if (models.length === 0) fail('name models');

// The page's files come from three folders, each under its own name.
const folders = {mote: join(root, 'web/dist'), wllama: join(wllama, 'esm'), models: null};
const TYPES = {'.js': 'text/javascript', '.wasm': 'application/wasm', '.gguf': 'application/octet-stream'};
const server = await serve(root, {
  headers: {'Content-Security-Policy': null},
  before: (request, response, headers) => {
    for (const [name, value] of Object.entries(headers)) if (value !== null) response.setHeader(name, value);
    const [, first, ...rest] = new URL(request.url, 'http://x').pathname.split('/');
    if (first === '') {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><title>bench</title><link rel="icon" href="data:,">');
      return true;
    }
    const path = first === 'models' ? models.find((model) => basename(model) === rest.join('/')) : folders[first] && join(folders[first], ...rest);
    if (!path || !existsSync(path)) {
      response.writeHead(404).end();
      return true;
    }
    response.setHeader('Content-Type', TYPES[/\.\w+$/.exec(path)?.[0]] ?? 'application/octet-stream');
    response.setHeader('Content-Length', statSync(path).size);
    createReadStream(path).pipe(response);
    return true;
  },
});

// Runs in the page: window.engines.{mote,wllama}(prompt ids, pieces) resolve to {prefill, decode} in tokens a second.
function prepare([model, threads, context, letter]) {
  const ids = (count) => Array.from({length: count}, () => 259 + Math.floor(Math.random() * 256));
  const speeds = (count, begin, times) => ({
    prefill: count / (times[0] - begin) * 1000, decode: (times.length - 1) / (times.at(-1) - times[0]) * 1000,
  });
  return (async () => {
    const {Mote} = await import('/mote/index.js');
    const mote = await Mote.load(`/models/${model}`, {threads, context, cache: 'no-store'});
    const session = await mote.createSession();
    const {Wllama} = await import('/wllama/index.js');
    const peer = new Wllama({default: '/wllama/wasm/wllama.wasm'}, {suppressNativeLog: true});
    const blob = await (await fetch(`/models/${model}`)).blob();
    await peer.loadModel([blob], {n_ctx: context, n_threads: threads, n_gpu_layers: 0, n_batch: 512, n_ubatch: 512, n_parallel: 1, warmup: false});
    window.engines = {
      mote: async (count, pieces) => {
        await session.truncate(0);
        const tokens = [1, ...ids(count - 1)];
        const times = [];
        const begin = performance.now();
        for await (const _ of session.generate(tokens, {temperature: 0, maxTokens: pieces, ignoreEos: true, logitBias: {[letter]: 1000}})) times.push(performance.now());
        return speeds(count, begin, times);
      },
      wllama: async (count, pieces) => {
        // It puts the <s> before them itself.
        const text = ids(count - 1).map((id) => `w${id}`).join('');
        const times = [];
        const begin = performance.now();
        let timings = null;
        const stream = await peer.createCompletion({
          prompt: text, stream: true, max_tokens: pieces, temperature: 0, cache_prompt: false, ignore_eos: true, logit_bias: {[letter]: 1000},
        });
        for await (const chunk of stream) {
          if (chunk.choices?.[0]?.text) times.push(performance.now());
          timings = chunk.timings ?? timings;
        }
        if (timings && timings.prompt_n !== count) throw new Error(`wllama read ${timings.prompt_n} tokens, not ${count}`);
        if (!timings) throw new Error('wllama told no prompt_n');
        return speeds(count, begin, times);
      },
    };
    return {mote: `mote ${mote.info.version} (${mote.info.variant}, ${mote.info.threads} threads)`,
            wllama: `wllama (${Wllama.getLibllamaVersion()}, ${peer.getNumThreads()} threads${peer.isMultithread() ? '' : ', single-threaded build'})`};
  })();
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
const spread = (values, digits) => `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;

const {version} = JSON.parse(readFileSync(join(wllama, 'package.json'), 'utf8'));
const {chromium: launcher} = await import(module);
const browser = await launcher.launch({executablePath: chromium, args: ['--no-sandbox', '--js-flags=--max-old-space-size=4096']});
console.log(`chromium ${browser.version()}, wllama ${version}, load average ${loadavg()[0].toFixed(1)}; ${rounds} rounds, medians (minimum to maximum)\n`);
console.log('| model | threads | test | mote tokens/s | wllama tokens/s | ratio | of native rows, % |\n' +
  '| --- | ---: | --- | ---: | ---: | ---: | --- |');
let names = null;

async function natives(model, threads) {
  if (!nativeProgram) return [];
  const start = (isa) => startNative(nativeProgram, isa, model, threads, context);
  const wide = await start('avx512_vnni') ?? await start('avx512');
  return [await start('sse4'), wide].filter((native) => native !== null);
}
const share = (native, mote, of) =>
  `${native.isa} ${spread(mote.map((value, i) => 100 * value / of[i]), 0)}`;
for (const model of models) {
  for (const threads of threadCounts) {
    const page = await browser.newPage();
    await page.goto(server.url);
    page.on('pageerror', (error) => console.error(String(error)));
    names = await page.evaluate(prepare, [basename(model), threads, context, LETTER]);
    const own = await natives(model, threads);
    const sides = ['mote', 'wllama', ...own.map(({isa}) => isa)];
    const rows = [`prefill ${prompt}`, `decode behind ${prompt}`, 'decode behind 8'].map(
      (name) => ({name, ...Object.fromEntries(sides.map((side) => [side, []]))}));
    for (let turn = 0; turn <= rounds; ++turn) {
      for (const [count, pieces] of [[prompt, generated], [8, 2 * generated]]) {
        for (const side of sides) {
          const native = own.find(({isa}) => isa === side);
          const {prefill, decode} = native ? await native.run(count, pieces)
            : await page.evaluate(([engine, ...rest]) => window.engines[engine](...rest), [side, count, pieces]);
          if (turn === 0) continue;  // the first one touches memory
          if (count === prompt) {
            rows[0][side].push(prefill);
            rows[1][side].push(decode);
          } else {
            rows[2][side].push(decode);
          }
        }
      }
    }
    for (const {name, mote, wllama: peer, ...of} of rows) {
      const ratios = mote.map((value, i) => value / peer[i]);
      const shares = own.map((native) => share(native, mote, of[native.isa])).join(', ') || '-';
      console.log(`| ${basename(model, '.gguf')} | ${threads} | ${name} | ${spread(mote, 1)} | ${spread(peer, 1)} | ${spread(ratios, 2)} | ${shares} |`);
    }
    for (const native of own) native.end();
    await page.close();
  }
}
console.log(`\n${names.mote}; ${names.wllama}; load average ${loadavg()[0].toFixed(1)}`);
await browser.close();
await server.close();
