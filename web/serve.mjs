// A small server for static files, on loopback, with the headers that the package wants: node serve.mjs FOLDER [--port N]
//
// Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy make pages isolated, which threads need. It answers ranges
// (with If-Range) and If-None-Match, and sends NAME.br or NAME.gz where they lie beside NAME and the browser takes them.
import {createHash} from 'node:crypto';
import {createReadStream} from 'node:fs';
import {stat} from 'node:fs/promises';
import {createServer} from 'node:http';
import {extname, join, resolve, sep} from 'node:path';
import {fileURLToPath} from 'node:url';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8', '.json': 'application/json', '.wasm': 'application/wasm', '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json', '.gguf': 'application/octet-stream', '.md': 'text/markdown; charset=utf-8',
  '.png': 'image/png', '.map': 'application/json',
};

export const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; " +
  "connect-src 'self'; media-src blob:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Pages are isolated with the first two; the third lets isolated pages of other origins use the files.
export const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Permissions-Policy': 'camera=(self), microphone=(), geolocation=()',
  'Cache-Control': 'no-cache',
};

// It tells versions apart. Kept by time and size, so that a file is read once for it.
const tags = new Map();
async function tagOf(path, info) {
  const known = tags.get(path);
  const key = `${info.mtimeMs}-${info.size}`;
  if (known?.key === key) return known.tag;
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  const tag = `"${hash.digest('hex').slice(0, 32)}"`;
  tags.set(path, {key, tag});
  return tag;
}

// The path within the folder, or null for what leads out of it.
function inside(folder, url) {
  let name;
  try {
    // Not by URL, which would take "//x/y" for a host.
    name = decodeURIComponent(url.split(/[?#]/, 1)[0]);
  } catch {
    return null;
  }
  const path = resolve(folder, '.' + (name.endsWith('/') ? name + 'index.html' : name));
  return path.startsWith(resolve(folder) + sep) && !path.includes('\0') ? path : null;
}

const fileInfo = (path) => stat(path).then((info) => info.isFile() ? info : null, () => null);

// One range of bytes, as RFC 9110 has it; undefined: none asked for, null: none that the file has.
function rangeOf(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (!match[1] && !match[2])) return undefined;
  const from = match[1] ? Number(match[1]) : Math.max(0, size - Number(match[2]));
  const to = match[1] && match[2] ? Math.min(Number(match[2]), size - 1) : size - 1;
  return from <= to && from < size ? {from, to} : null;
}

async function choose(path, request) {
  const takes = String(request.headers['accept-encoding'] ?? '');
  if (!request.headers.range) {
    for (const [coding, ending] of [['br', '.br'], ['gzip', '.gz']]) {
      if (!new RegExp(`\\b${coding}\\b`).test(takes)) continue;
      const info = await fileInfo(path + ending);
      if (info) return {file: path + ending, info, coding};
    }
  }
  const info = await fileInfo(path);
  return info && {file: path, info, coding: null};
}

async function answer(folder, request, response, headers) {
  for (const [name, value] of Object.entries(headers)) if (value !== null) response.setHeader(name, value);
  const end = (status, words) => {
    response.writeHead(status, {'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(words)});
    response.end(request.method === 'HEAD' ? '' : words);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return end(405, 'GET and HEAD only\n');
  const path = inside(folder, request.url);
  const found = path && await choose(path, request);
  if (!found) return end(404, `${request.url}: no such file\n`);
  const {file, info, coding} = found;
  const tag = await tagOf(file, info);
  response.setHeader('Content-Type', TYPES[extname(path)] ?? 'application/octet-stream');
  response.setHeader('ETag', tag);
  response.setHeader('Last-Modified', info.mtime.toUTCString());
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('Vary', 'Accept-Encoding');
  if (coding) response.setHeader('Content-Encoding', coding);
  if (String(request.headers['if-none-match'] ?? '').includes(tag)) {
    response.writeHead(304);
    return response.end();
  }
  const condition = request.headers['if-range'];
  const good = !condition || condition === tag || condition === info.mtime.toUTCString();
  const range = good ? rangeOf(request.headers.range, info.size) : undefined;
  if (range === null) {
    response.setHeader('Content-Range', `bytes */${info.size}`);
    return end(416, 'no such range\n');
  }
  const {from, to} = range ?? {from: 0, to: info.size - 1};
  if (range) response.setHeader('Content-Range', `bytes ${from}-${to}/${info.size}`);
  response.setHeader('Content-Length', info.size === 0 ? 0 : to - from + 1);
  response.writeHead(range ? 206 : 200);
  if (request.method === 'HEAD' || info.size === 0) return response.end();
  const stream = createReadStream(file, {start: from, end: to});
  stream.on('error', () => response.destroy());
  response.on('close', () => stream.destroy());
  return stream.pipe(response);
}

/** `headers`: more of them, or null for fewer. `before`: sees each request first, and answers it itself where it returns
 * true. Resolves to {url, close}. */
export function serve(folder, {port = 0, headers = {}, before = () => false} = {}) {
  const server = createServer(async (request, response) => {
    try {
      const all = {...HEADERS, ...headers};
      if (!(await before(request, response, all))) await answer(folder, request, response, all);
    } catch (error) {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    }
  });
  return new Promise((started, failed) => {
    server.on('error', failed);
    server.listen(port, '127.0.0.1', () => started({
      url: `http://127.0.0.1:${server.address().port}/`,
      close: () => new Promise((closed) => {
        server.close(closed);
        server.closeAllConnections();
      }),
    }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2);
  const at = words.indexOf('--port');
  const [port] = at < 0 ? [8081] : words.splice(at, 2).slice(1);
  const folder = words[0];
  if (!folder || !/^\d+$/.test(String(port))) {
    console.error('usage: node serve.mjs FOLDER [--port N]');
    process.exit(2);
  }
  try {
    const {url} = await serve(folder, {port: Number(port)});
    console.log(`${join(folder, '')} is served at ${url}`);
  } catch (error) {
    console.error(`serve.mjs: ${error.message}`);
    process.exit(1);
  }
}
