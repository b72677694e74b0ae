// A tiny app with the packed package, built by Vite and by esbuild as they are, checked by tsc, and run in chromium.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {after, before, test} from 'node:test';
import {needBrowser, openPage, skip} from './browser.mjs';
import {serve} from '../../web/serve.mjs';

const launch = await needBrowser();
const tools = resolve('web/node_modules');
for (const tool of ['vite', 'esbuild', 'typescript']) if (!existsSync(join(tools, tool))) skip(`${tool} is not installed: scripts/web-tools`);

const root = resolve('build/web/bundlers');
const APP = `
import {Mote, MoteError, builtIn, type ChatChunk} from '@mote/web';

async function run(): Promise<string> {
  const mote: Mote = await Mote.load(builtIn('/models/'), {context: 256});
  let text = '';
  for await (const chunk of mote.chat.completions.create({messages: [{role: 'user', content: 'Who are you?'}], stream: true, temperature: 0})) {
    const piece: ChatChunk = chunk;
    text += piece.choices[0]?.delta.content ?? '';
  }
  const {threads} = mote.info;
  await mote.dispose();
  return threads + ':' + text.trim();
}
run().then((text) => { document.title = text; }, (error: unknown) => {
  document.title = 'failed: ' + (error instanceof MoteError ? error.code + ' ' + error.message : String(error));
});
`;
const HTML = (script) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>wait</title><link rel="icon" href="data:,">
<script type="module" src="${script}"></script></html>`;

let browser;
before(async () => {
  rmSync(root, {recursive: true, force: true});
  const folder = join(root, 'node_modules/@mote/web');
  mkdirSync(folder, {recursive: true});
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', root], {cwd: 'web', encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}).trim();
  execFileSync('tar', ['-xzf', join(root, packed), '-C', folder, '--strip-components=1']);
  writeFileSync(join(root, 'package.json'), '{"name": "app", "private": true, "type": "module"}');
  writeFileSync(join(root, 'app.ts'), APP);
  writeFileSync(join(root, 'index.html'), HTML('/app.ts'));
  browser = await launch();
});
after(() => browser?.close());

async function runIn(folder) {
  cpSync('web/dist/models', join(folder, 'models'), {recursive: true});
  const server = await serve(folder);
  const page = await openPage(browser, server.url);
  await page.waitForFunction(() => document.title !== 'wait');
  const title = await page.title();
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  await page.context().close();
  await server.close();
  return title;
}

test('tsc, strictly, with the package\'s own types', () => {
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom,dom.asynciterable,esnext.disposable', '--module', 'esnext', '--moduleResolution',
                   'bundler', '--types', '', join(root, 'app.ts')];
  execFileSync(join(tools, '.bin/tsc'), options, {cwd: root, stdio: 'inherit'});
});

test('Vite', async () => {
  const {build} = await import(join(tools, 'vite/dist/node/index.js'));
  await build({root, configFile: false, logLevel: 'error', build: {outDir: 'vite', assetsInlineLimit: 0}});
  const names = readdirSync(join(root, 'vite/assets'));
  assert.ok(names.some((name) => /^mote-relaxed-.*\.wasm$/.test(name)), `the modules are assets: ${names}`);
  assert.match(await runIn(join(root, 'vite')), /^[1-9]\d*:.*picture/);
});

test('esbuild, with the package\'s files beside the bundle', async () => {
  const {build} = await import(join(tools, 'esbuild/lib/main.js'));
  const out = join(root, 'esbuild');
  await build({entryPoints: [join(root, 'app.ts')], bundle: true, format: 'esm', outdir: out, logLevel: 'error'});
  for (const name of ['worker.js', 'thread.js', 'mote.wasm', 'mote-relaxed.wasm']) {
    cpSync(join(root, 'node_modules/@mote/web/dist', name), join(out, name));
  }
  writeFileSync(join(out, 'index.html'), HTML('/app.js'));
  assert.match(await runIn(out), /^[1-9]\d*:.*picture/);
});
