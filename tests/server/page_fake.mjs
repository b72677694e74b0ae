// The page's files and just enough of the server's protocol for it: lines of JSON with progress, slowly.
import {createServer} from 'node:http';
import {readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const folder = join(root, 'edge/server/page');
const types = {html: 'text/html; charset=utf-8', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml',
               webmanifest: 'application/manifest+json'};
// The policy is read where the server has it, so that the page is tested under the real one.
const policy = [...readFileSync(join(folder, 'page.cc'), 'utf8').match(/kPolicy\[\] =([^;]|;(?=.*"))*?;\n/s)[0]
  .matchAll(/"([^"]*)"/g)].map((match) => match[1]).join('');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function complete(request, response, aborted, held) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const asked = JSON.parse(body);
  const parts = asked.messages.at(-1).content;
  const text = typeof parts === 'string' ? parts : parts.at(-1).text;
  response.writeHead(200, {'Content-Type': 'application/x-ndjson'});
  let gone = false;
  response.on('close', () => {
    gone = !response.writableEnded;
    if (gone) aborted.push(text);
  });
  const tell = async (event, ms) => {
    if (gone) return;
    response.write(JSON.stringify(event) + '\n');
    await pause(ms);
  };
  await tell({event: 'queued'}, 30);
  await tell({event: 'image_decoded'}, 60);
  await tell({event: 'image_encoded'}, 20);
  for (const percent of [25, 50, 75, 100]) {
    await tell({event: 'prefill', percent}, 60);
    if (percent === 50) await held();
  }
  await tell({event: 'first_token'}, 1);
  const words = text.startsWith('Count') ? Array.from({length: 200}, (_, i) => ` ${i}`)
    : [' a', ' red', ' circle', ' and', ' a', ' blue', ' square'];
  for (const word of words) await tell({event: 'delta', index: 0, delta: {content: word}}, 40);
  await tell({event: 'done', id: 'x', created: 1, model: asked.model, choices: [{index: 0, finish_reason: 'stop'}],
              usage: {prompt_tokens: 42, completion_tokens: words.length, prompt_tokens_details: {cached_tokens: 12}},
              timings: {queued_ms: 3, images_ms: 61.2, prompt_ms: 120, first_token_ms: 190, predicted_ms: 290,
                        predicted_per_second: 24.1, total_ms: 480, cache: 'miss'}}, 0);
  response.end();
}

// Resolves to {url, aborted, hold, close}: `aborted` gets the question of every answer that the client left. From
// hold() on, until what it returns is called, answers stop when half of the prompt is read: whoever looks for that
// stage finds it, however slow the machine.
export function startFake() {
  const aborted = [];
  let holding = Promise.resolve();
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path === '/v1/chat/completions') return complete(request, response, aborted, () => holding);
    if (path === '/v1/models') {
      response.writeHead(200, {'Content-Type': 'application/json'});
      return response.end(JSON.stringify({object: 'list', data: [
        {id: 'mote-eye-q8_0', object: 'model', architecture: {input_modalities: ['text', 'image']}}]}));
    }
    try {
      const file = path === '/' ? 'index.html' : path.slice(1);
      if (!/^[a-z]+\.(html|css|js|svg|webmanifest)$/.test(file)) throw new Error('no such file');
      const bytes = readFileSync(join(folder, file));
      response.writeHead(200, {'Content-Type': types[file.split('.')[1]], 'Content-Security-Policy': policy,
                               'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-cache'});
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
    url: `http://127.0.0.1:${server.address().port}`, policy, aborted,
    hold: () => {
      let release;
      holding = new Promise((resolve) => release = resolve);
      return release;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  })));
}
