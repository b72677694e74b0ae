// The server's protocol: which models there are, and an answer as it comes (lines of JSON with progress).

const KEY = 'mote-key';

export function key() {
  return sessionStorage.getItem(KEY) ?? '';
}

export function setKey(value) {
  if (value) {
    sessionStorage.setItem(KEY, value);
  } else {
    sessionStorage.removeItem(KEY);
  }
}

// What went wrong, in words. `wantsKey`: another key may help.
export class Trouble extends Error {
  constructor(words, wantsKey = false) {
    super(words);
    this.wantsKey = wantsKey;
  }
}

const UNREACHABLE = 'The server cannot be reached. Is it still running?';

function words(status, error, retryAfter) {
  const said = typeof error?.message === 'string' ? error.message : '';
  const later = retryAfter > 0 ? ` Try again in ${retryAfter} s.` : ' Try again in a moment.';
  if (error?.code === 'context_length_exceeded') {
    return 'The conversation has become longer than the model can read. Start a new one.';
  }
  if (status === 401) return key() ? 'The server does not know this key.' : 'This server wants an API key.';
  if (status === 403) return 'This key may not do that.' + (said ? ` (${said})` : '');
  if (status === 413) return 'The picture is larger than the server takes.';
  if (status === 429) return 'That was a lot of questions in a short time.' + later;
  if (status === 503) return 'The server has its hands full.' + later;
  return said || `The server answered with status ${status}.`;
}

async function ask(path, options = {}) {
  const headers = {...options.headers};
  if (key()) headers['Authorization'] = 'Bearer ' + key();
  let response;
  try {
    response = await fetch(path, {...options, headers, cache: 'no-store'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Trouble(UNREACHABLE);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  throw new Trouble(words(response.status, body?.error, retryAfter), response.status === 401);
}

// [{id, sees}]
export async function models() {
  const body = await (await ask('/v1/models')).json().catch(() => null);
  if (!Array.isArray(body?.data) || body.data.length === 0) throw new Trouble('The server serves no model.');
  return body.data.map((model) => ({
    id: String(model.id),
    sees: model.architecture?.input_modalities?.includes('image') ?? true,
  }));
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    yield* parts;
  }
  yield rest;
}

// Events as the server tells them: queued, image_decoded, image_encoded, prefill {percent}, first_token, delta {text},
// done {usage, timings, finish}. Throws Trouble, or AbortError.
export async function* answer(model, messages, signal) {
  const response = await ask('/v1/chat/completions', {
    method: 'POST',
    headers: {'Content-Type': 'application/json', 'Accept': 'application/x-ndjson'},
    body: JSON.stringify({model, messages, stream: true, temperature: 0}),
    signal,
  });
  let complete = false;
  try {
    for await (const line of lines(response.body)) {
      if (!line.trim()) continue;
      const event = JSON.parse(line);
      if (event.event === 'error') throw new Trouble(words(event.error?.status ?? 500, event.error, 0));
      if (event.event === 'delta') {
        yield {event: 'delta', text: event.delta?.content ?? ''};
      } else if (event.event === 'done') {
        complete = true;
        yield {event: 'done', usage: event.usage ?? {}, timings: event.timings ?? {},
               finish: event.choices?.[0]?.finish_reason ?? 'stop'};
      } else {
        yield event;
      }
    }
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof Trouble) throw error;
    throw new Trouble('The connection broke before the answer was complete.');
  }
  if (!complete) throw new Trouble('The connection broke before the answer was complete.');
}
