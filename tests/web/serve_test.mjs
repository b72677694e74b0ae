// The server of static files: ranges, tags, codings, and nothing from outside its folder.
import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {request} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {gunzipSync, gzipSync} from 'node:zlib';
import {serve} from '../../web/serve.mjs';

let folder;
let server;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mote-serve-'));
  mkdirSync(join(folder, 'site'));
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  writeFileSync(join(folder, 'site/index.html'), '<p>hello');
  writeFileSync(join(folder, 'site/index.html.gz'), gzipSync('<p>hello'));
  writeFileSync(join(folder, 'site/a.gguf'), 'GGUF456789');
  writeFileSync(join(folder, 'site/empty.js'), '');
  server = await serve(join(folder, 'site'));
});
after(async () => {
  await server?.close();
  rmSync(folder, {recursive: true, force: true});
});

// Paths as they are: fetch() would tidy them up.
const ask = (path, headers = {}, method = 'GET') => new Promise((resolve, reject) => {
  const {port} = new URL(server.url);
  request({host: '127.0.0.1', port, path, method, headers}, (response) => {
    const pieces = [];
    response.on('data', (piece) => pieces.push(piece));
    response.on('end', () => resolve({status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces)}));
  }).on('error', reject).end();
});

test('a page comes isolated, with its type, and compressed where that is taken', async () => {
  const plain = await ask('/');
  assert.deepEqual([plain.status, String(plain.body), plain.headers['content-type']], [200, '<p>hello', 'text/html; charset=utf-8']);
  assert.equal(plain.headers['cross-origin-opener-policy'], 'same-origin');
  assert.equal(plain.headers['cross-origin-embedder-policy'], 'require-corp');
  assert.match(plain.headers['content-security-policy'], /'wasm-unsafe-eval'/);
  assert.doesNotMatch(plain.headers['content-security-policy'], /unsafe-inline/);
  const small = await ask('/', {'Accept-Encoding': 'br, gzip'});
  assert.equal(small.headers['content-encoding'], 'gzip');
  assert.equal(String(gunzipSync(small.body)), '<p>hello');
  assert.notEqual(small.headers.etag, plain.headers.etag);
  const known = await ask('/', {'If-None-Match': plain.headers.etag});
  assert.deepEqual([known.status, known.body.length], [304, 0]);
  const head = await ask('/a.gguf', {}, 'HEAD');
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '10', 0]);
  assert.equal((await ask('/empty.js')).body.length, 0);
  assert.equal((await ask('/', {}, 'POST')).status, 405);
});

test('ranges, and their conditions', async () => {
  const {etag} = (await ask('/a.gguf')).headers;
  const range = async (bytes, more) => {
    const {status, headers, body} = await ask('/a.gguf', {Range: `bytes=${bytes}`, ...more});
    return [status, headers['content-range'], String(body)];
  };
  assert.deepEqual(await range('4-'), [206, 'bytes 4-9/10', '456789']);
  assert.deepEqual(await range('4-5'), [206, 'bytes 4-5/10', '45']);
  assert.deepEqual(await range('4-99'), [206, 'bytes 4-9/10', '456789']);
  assert.deepEqual(await range('-2'), [206, 'bytes 8-9/10', '89']);
  assert.deepEqual((await range('10-')).slice(0, 2), [416, 'bytes */10']);
  assert.equal((await range('x-y'))[0], 200);
  assert.equal((await range('4-', {'If-Range': etag}))[0], 206);
  assert.deepEqual(await range('4-', {'If-Range': '"other"'}), [200, undefined, 'GGUF456789']);
});

test('nothing from outside the folder', async () => {
  for (const path of ['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '//secret.txt', '/%00', '/%zz', '/none', '/x/../../secret.txt']) {
    const {status, body} = await ask(path);
    assert.ok(status === 404 && !String(body).startsWith('secret'), `${path}: ${status}`);
  }
});
