// Debian's chromium and the site that is tested in it. What is missing is said aloud, and the test exits with 77.
import {existsSync} from 'node:fs';
import {readFile, stat} from 'node:fs/promises';
import {resolve} from 'node:path';
import {serve} from '../../web/serve.mjs';
import {makeSite} from '../../web/site.mjs';

export const MODEL = 'models/mote-eye-q8_0.gguf';
export const MMPROJ = 'models/mmproj-mote-eye-q8_0.gguf';

export function option(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : process.argv[at + 1];
}

export function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

export function needPackage() {
  for (const file of ['index.js', 'worker.js', 'thread.js', 'node.js', 'mote.wasm', 'mote-relaxed.wasm']) {
    if (!existsSync(`web/dist/${file}`)) skip(`web/dist/${file} is missing: scripts/web`);
  }
}

export async function needBrowser() {
  const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path));
  if (!chromium) skip('chromium is not installed');
  const module = 'build/tools/browser/node_modules/playwright-core/index.mjs';
  if (!existsSync(module)) skip('playwright-core is not installed: scripts/playwright');
  needPackage();
  const playwright = await import(new URL(module, `file://${process.cwd()}/`));
  return (settings = {}) => playwright.chromium.launch({
    executablePath: chromium,
    args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
    ...settings,
  });
}

// The demo page's folder. Each test has its own, because they may run at once.
export async function site(name) {
  const folder = resolve(`build/web/test-${name}`);
  await makeSite(folder, {compress: false});
  return folder;
}

const BLANK = '<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">';

// A server of the site and of /blank.html, with faults: `faults.before` sees each request first.
export async function startSite(folder, {headers = {}, faults = {}} = {}) {
  const requests = [];
  const server = await serve(folder, {
    headers,
    before: async (request, response, all) => {
      requests.push({method: request.method, url: request.url, range: request.headers.range ?? null});
      if (await faults.before?.(request, response, all)) return true;
      if (request.url !== '/blank.html') return false;
      for (const [name, value] of Object.entries(all)) if (value !== null) response.setHeader(name, value);
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.end(BLANK);
      return true;
    },
  });
  return {...server, requests, faults};
}

// Sends the first `bytes` of a file of the site, then breaks the connection.
export async function cutShort(folder, request, response, headers, bytes) {
  const path = resolve(folder, '.' + new URL(request.url, 'http://x').pathname);
  const file = await readFile(path);
  const {mtime} = await stat(path);
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  for (const [name, value] of Object.entries(headers)) if (value !== null) response.setHeader(name, value);
  response.writeHead(from > 0 ? 206 : 200, {
    'Content-Type': 'application/octet-stream', 'Content-Length': file.length - from, 'ETag': '"one"',
    'Last-Modified': mtime.toUTCString(), ...(from > 0 ? {'Content-Range': `bytes ${from}-${file.length - 1}/${file.length}`} : {}),
  });
  // Slowly: what a browser has not handed on when a connection breaks is lost, and a page that still starts its module
  // does not read yet.
  const whole = bytes >= file.length;
  for (let sent = 0; sent < Math.min(bytes, file.length - from); sent += 500000) {
    await new Promise((done) => response.write(file.subarray(from + sent, Math.min(from + sent + 500000, from + bytes)), done));
    if (!whole) await new Promise((done) => setTimeout(done, 700));
  }
  if (whole) response.end();
  else response.destroy();
  return true;
}

// A page that keeps what it said to the console and which rules of its policy were broken.
export async function openPage(browser, url, settings = {}) {
  const context = settings.context ?? await browser.newContext({viewport: {width: 1280, height: 860}, permissions: ['camera'], ...settings});
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => { if (message.type() === 'error') page.complaints.push(message.text()); });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  await page.goto(url);
  return page;
}

// A blank page with the package in `window.mote`, and `window.load()`, which loads the model in the box and keeps what
// was told meanwhile in `window.phases`.
export async function openPackage(browser, url, settings = {}) {
  const page = await openPage(browser, `${url}blank.html`, settings);
  await page.evaluate(async () => {
    const mote = await import('/mote/index.js');
    window.mote = mote;
    window.phases = [];
    window.load = async (options = {}, source = mote.builtIn('/models/')) => mote.Mote.load(source, {
      onProgress: ({phase, file}) => { if (window.phases.at(-1) !== `${file} ${phase}`) window.phases.push(`${file} ${phase}`); },
      log: () => {}, context: 512, ...options,
    });
    // The code and message of what a promise rejects with.
    window.failure = (promise) => promise.then(() => 'no failure', ({code, message, name}) => ({code, message, name}));
  });
  return page;
}
