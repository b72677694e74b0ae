// The page's side: what chats, sessions and sources make of their words, against a worker that only answers.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {MoteError, fromRecord, makeError, toRecord} from '../../web/src/errors.ts';
import {Channel} from '../../web/src/page/channel.ts';
import {Completions} from '../../web/src/page/chat.ts';
import {decodeDataUrl} from '../../web/src/page/images.ts';
import {LoadedModel, load} from '../../web/src/page/mote.ts';
import {Session} from '../../web/src/page/session.ts';
import {runStopper} from '../../web/src/worker/stopper.ts';

const TIMINGS = {
  queued_ms: 0, images_ms: 0, prompt_n: 9, prompt_ms: 5, prompt_per_second: 1800, predicted_n: 2, predicted_ms: 4,
  predicted_per_second: 500, first_token_ms: 6, total_ms: 10,
};

// Answers each call by `replies[method]`, which gets the arguments and a way to tell events.
class FakeWorker {
  sent = [];
  ended = false;

  constructor(replies = {}) {
    this.replies = {chatSession: () => ({cancelFlag: 64}), close: () => null, ...replies};
    queueMicrotask(() => this.say({ready: true}));
  }
  post(message) {
    this.sent.push(message);
    if ('abort' in message) this.onAbort?.(message.abort);
    if (!('method' in message)) return;
    const {id, method, args} = message;
    const tell = (event) => this.say({id, event});
    Promise.resolve().then(() => this.replies[method]?.(args, tell, id)).then(
      (result) => { if (result !== undefined) this.say({id, result}); },
      (error) => this.say({id, error: toRecord(error)}));
  }
  say(message) {
    if (!this.ended) this.listener?.(message);
  }
  onMessage(listener) { this.listener = listener; }
  onFailure(listener) { this.fail = listener; }
  terminate() { this.ended = true; }

  calls(method) {
    return this.sent.filter((message) => message.method === method).map(({args}) => args);
  }
}

const answer = (over = {}) => ({
  text: ' blue sky', tokens: Int32Array.of(5, 6), finishReason: 'stop', promptTokens: 12, cachedTokens: 3, imageTokens: 0,
  timings: TIMINGS, ...over,
});
const speak = (args, tell) => {
  tell({type: 'prefill', done: 9, total: 9});
  tell({type: 'text', text: ' blue', token: 5});
  tell({type: 'text', text: ' sky', token: 6});
  return answer();
};

function chat(replies = {generate: speak}) {
  const worker = new FakeWorker(replies);
  const channel = new Channel(worker, () => {});
  return {worker, channel, chat: new Completions(channel, 'tiny')};
}
const hello = [{role: 'user', content: 'Hello'}];
const refused = (run, code, words) => assert.rejects(async () => run(), (error) => {
  assert.ok(error instanceof MoteError, error.stack);
  assert.equal(error.code, code);
  assert.match(error.message, words);
  return true;
});

test('a whole answer has OpenAI\'s shape', async () => {
  const {chat: completions, worker} = chat();
  const whole = await completions.create({messages: hello, max_tokens: 7, temperature: 0, seed: 4, stop: '\n'});
  assert.match(whole.id, /^chatcmpl-[0-9a-f]{24}$/);
  assert.deepEqual([whole.object, whole.model, whole.choices.length], ['chat.completion', 'tiny', 1]);
  assert.deepEqual(whole.choices[0], {
    index: 0, message: {role: 'assistant', content: ' blue sky', refusal: null}, finish_reason: 'stop', logprobs: null,
  });
  assert.deepEqual(whole.usage, {
    prompt_tokens: 12, completion_tokens: 2, total_tokens: 14, prompt_tokens_details: {cached_tokens: 3, image_tokens: 0},
  });
  const {session, prompt, options} = worker.calls('generate')[0];
  assert.equal(session, 0);
  assert.deepEqual(prompt, {kind: 'chat', messages: [{role: 'user', content: 'Hello'}], images: [], extra: null});
  assert.deepEqual([options.maxTokens, options.temperature, options.topP, options.topK, options.seed, options.stop],
                   [7, 0, 1, 40, 4, ['\n']]);
});

test('a stream has OpenAI\'s chunks, with the account in the last', async () => {
  const {chat: completions} = chat();
  const chunks = [];
  for await (const chunk of completions.create({messages: hello, stream: true})) chunks.push(chunk);
  assert.deepEqual(chunks.map(({choices}) => [choices[0].delta, choices[0].finish_reason]),
                   [[{role: 'assistant', content: ''}, null], [{content: ' blue'}, null], [{content: ' sky'}, null], [{}, 'stop']]);
  assert.ok(chunks.every(({object, id}) => object === 'chat.completion.chunk' && id === chunks[0].id));
  assert.deepEqual(chunks.map(({usage}) => usage?.total_tokens), [undefined, undefined, undefined, 14]);
  assert.equal(chunks.at(-1).timings.prompt_ms, 5);
  const more = [];
  for await (const chunk of await completions.create({messages: hello, stream: true, stream_options: {include_usage: true}})) more.push(chunk);
  assert.deepEqual([more.length, more.at(-1).choices, more.at(-1).usage.total_tokens, more.at(-2).usage], [5, [], 14, null]);
});

test('what would not be answered as asked is refused before anything runs', async () => {
  const {chat: completions, worker} = chat();
  const create = (params) => () => completions.create({messages: hello, ...params});
  await refused(create({temperature: 3}), 'invalid-argument', /temperature must be a number from 0 to 2, not 3/);
  await refused(create({max_tokens: 0}), 'invalid-argument', /max_tokens/);
  await refused(create({logit_bias: {x: 1}}), 'invalid-argument', /logit_bias/);
  await refused(create({seed: 1.5}), 'invalid-argument', /seed/);
  await refused(create({n: 2}), 'unsupported', /n: one answer/);
  await refused(create({tools: [{}]}), 'unsupported', /tools/);
  await refused(create({response_format: {type: 'xml'}}), 'invalid-argument', /response_format/);
  await refused(create({messages: []}), 'invalid-argument', /messages: a list of at least one/);
  await refused(create({messages: [{content: 'x'}]}), 'invalid-argument', /messages\[0\]: it has no role/);
  await refused(create({messages: [{role: 'user', content: [{type: 'audio'}]}]}), 'invalid-argument', /messages\[0\]\.content\[0\]/);
  await refused(create({messages: [{role: 'user', content: 5}]}), 'invalid-argument', /a string or a list of parts/);
  assert.throws(() => completions.create({messages: hello, stream: true, temperature: -1}), /temperature/, 'a stream throws at once');
  assert.equal(worker.calls('generate').length, 0);
});

test('formats, biases and log-probabilities reach the worker', async () => {
  const {chat: completions, worker} = chat({
    generate: (args, tell) => {
      tell({type: 'token', info: {token: 5, logprob: -0.5, top: [{token: 5, logprob: -0.5}, {token: 9, logprob: -1}]}});
      tell({type: 'text', text: ' blue', token: 5});
      return answer();
    },
    detokenize: ({tokens}) => ({5: ' blue', 9: '\uFFFD'})[tokens[0]],
  });
  const schema = {type: 'object'};
  const whole = await completions.create({
    messages: hello, logit_bias: {7: -100, 8: 5}, response_format: {type: 'json_schema', json_schema: {schema}}, logprobs: true,
    top_logprobs: 2, top_p: 0,
  });
  const {options} = worker.calls('generate')[0];
  assert.deepEqual(options.logitBias, [[7, -Infinity], [8, 5]]);
  assert.deepEqual(options.grammar, {kind: 'schema', schema});
  assert.deepEqual([options.topLogprobs, options.topP > 0], [2, true]);
  assert.deepEqual(whole.choices[0].logprobs.content, [{
    token: ' blue', logprob: -0.5, bytes: [32, 98, 108, 117, 101],
    top_logprobs: [{token: ' blue', logprob: -0.5, bytes: [32, 98, 108, 117, 101]}, {token: '\uFFFD', logprob: -1, bytes: null}],
  }]);
});

test('pictures stand where they were put, and are copies', async () => {
  const {chat: completions, worker} = chat();
  const pixels = {data: new Uint8ClampedArray(16).fill(7), width: 2, height: 2};
  const png = 'data:image/png;base64,iVBORw0KGgo=';
  await completions.create({messages: [
    {role: 'developer', content: 'Be brief.'},
    {role: 'user', content: [{type: 'text', text: 'a '}, {type: 'image_url', image_url: {url: png}}, {type: 'image', image: pixels},
                             {type: 'text', text: ' b'}]}]});
  const {messages, images} = worker.calls('generate')[0].prompt;
  assert.deepEqual(messages, [{role: 'system', content: 'Be brief.'}, {role: 'user', content: 'a <__media__><__media__> b'}]);
  assert.deepEqual(images.map(({kind}) => kind), ['blob', 'pixels']);
  assert.equal(images[0].blob.type, 'image/png');
  assert.deepEqual([...new Uint8Array(await images[0].blob.arrayBuffer())], [137, 80, 78, 71, 13, 10, 26, 10]);
  assert.notEqual(images[1].data.buffer, pixels.data.buffer);
  await completions.create({messages: hello, images: [pixels]});
  assert.equal(worker.calls('generate')[1].prompt.messages[0].content, 'Hello');
  await refused(() => completions.create({messages: [{role: 'user', content: '<__media__> x <__media__>'}], images: [pixels]}),
                'invalid-argument', /1 pictures and 2 times/);
  await refused(() => completions.create({messages: hello, images: [{}]}), 'unsupported', /want an ImageBitmap/);
  await refused(() => completions.create({messages: hello, images: ['data:nothing']}), 'invalid-argument', /data: URL/);
  assert.equal(await decodeDataUrl('data:text/plain,a%20b').text(), 'a b');
});

test('an AbortSignal stops an answer, and so does leaving the loop', async () => {
  const endless = (args, tell, id) => new Promise((resolve) => {
    tell({type: 'text', text: 'a', token: 1});
    endless.worker.onAbort = (which) => { if (which === id) resolve(answer({finishReason: 'cancelled'})); };
  });
  const {chat: completions, worker} = chat({generate: endless});
  endless.worker = worker;
  const controller = new AbortController();
  const stream = completions.create({messages: hello, stream: true, signal: controller.signal});
  await assert.rejects(async () => {
    for await (const {choices} of stream) if (choices[0].delta.content === 'a') controller.abort(new Error('enough'));
  }, (error) => error.name === 'AbortError' && error.code === 'aborted' && error.cause.message === 'enough');
  assert.equal(worker.sent.filter((message) => 'abort' in message).length, 1);
  for await (const {choices} of completions.create({messages: hello, stream: true})) if (choices[0].delta.content === 'a') break;
  assert.equal(worker.sent.filter((message) => 'abort' in message).length, 2);
  const whole = completions.create({messages: hello, signal: AbortSignal.abort()});
  await assert.rejects(whole, {name: 'AbortError'});
});

test('an answer that is left at its first chunk, or before it, is stopped', async () => {
  const {chat: completions, worker, channel} = chat({generate: () => undefined});
  const session = new Session(channel, {session: 3, context: 64, cacheBytes: 1, cancelFlag: 8});
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  const stops = () => worker.sent.filter((message) => 'abort' in message).length;
  const stream = () => completions.create({messages: hello, stream: true});
  const first = stream();
  await settle();
  for await (const {choices} of first) if (choices[0].delta.role === 'assistant') break;
  assert.equal(stops(), 1);
  const begun = [stream(), session.generate('Hello')[Symbol.asyncIterator](), session.generate('Hello')[Symbol.asyncIterator]()];
  await settle();
  await begun[0].return();
  await begun[1].return();
  await begun[2][Symbol.asyncDispose]();
  assert.equal(stops(), 4, 'also where nobody had asked for anything yet');
  assert.deepEqual(await begun[0].next(), {value: undefined, done: true});
  const thrown = stream();
  await settle();
  await assert.rejects(async () => { for await (const _ of thrown) throw new Error('mine'); }, /mine/);
  assert.equal(stops(), 5);
});

test('whatever is wrong with arguments is told as the package\'s own error', async () => {
  const {chat: completions, channel, worker} = chat();
  const model = new LoadedModel({channel, loaded: {model: {name: 'm'}}});
  const session = new Session(channel, {session: 3, context: 64, cacheBytes: 1, cancelFlag: 8});
  const circle = {};
  circle.self = circle;
  const detached = new Uint8Array(16);
  structuredClone(detached, {transfer: [detached.buffer]});
  for (const [run, words] of [
    [() => session.eval(null), /a prompt is a string/], [() => session.eval(5), /a prompt is a string/],
    [() => session.eval(['a']), /tokens: a list of whole numbers/], [() => session.generate('x', {stop: 5}), /stop must be a list, not 5/],
    [() => session.generate('x', {stop: [5]}), /stop must be/], [() => session.generate('x', {maxTokens: '9'}), /maxTokens must be a number, not "9"/],
    [() => session.generate('x', null), /options must be an object, not null/], [() => session.generate('x', {signal: {}}), /signal must be/],
    [() => session.eval('x', {signal: 'stop'}), /signal must be an AbortSignal, not "stop"/], [() => session.truncate(), /length/],
    [() => session.keepPrefix(null), /tokens/], [() => completions.create(), /must be an object, not undefined/],
    [() => completions.create({messages: hello, temperature: 1n}), /temperature must be a number from 0 to 2, not 1/],
    [() => completions.create({messages: hello, images: 5}), /images must be a list, not 5/],
    [() => completions.create({messages: hello, images: [{data: detached, width: 2, height: 2}]}), /picture: this one cannot be taken/],
    [() => completions.create({messages: hello, response_format: {type: 'json_schema', json_schema: {schema: circle}}}), /JSON schema: it cannot be/],
    [() => completions.create({messages: [{...hello[0], circle}]}), /messages\[0\]: it cannot be written as JSON/],
    [() => model.tokenize(5), /text must be a string, not 5/], [() => model.detokenize(null), /tokens/],
    [() => model.embed('x', {pooling: 'max'}), /pooling must be one of "model", "mean", "first", "last", not "max"/],
  ]) await refused(run, 'invalid-argument', words);
  await refused(() => completions.create({messages: hello, images: [null]}), 'unsupported', /want an ImageBitmap/);
  await refused(() => completions.create({messages: hello, images: ['data:,x'], signal: AbortSignal.abort()}), 'aborted', /picture/);
  // What a worker cannot be given, with a picture and without.
  worker.post = () => { throw new DOMException('x could not be cloned', 'DataCloneError'); };
  await refused(() => model.renderChat([{role: 'user', content: 'x', extra: () => {}}]), 'invalid-argument', /cannot be handed to the worker \(x could/);
  const bitmap = {closed: 0, close() { ++this.closed; }};
  await refused(() => channel.call('embed', {}, {transfer: [bitmap]}), 'invalid-argument', /from this origin, or with CORS/);
  assert.equal(bitmap.closed, 1);
});

test('a request to stop goes to the stopper, which sets the flag of the call that runs, and of no other', async () => {
  const memory = new WebAssembly.Memory({initial: 1, maximum: 4, shared: true});
  const active = new SharedArrayBuffer(4);
  const {port1, port2} = new MessageChannel();
  runStopper({stopper: true, memory, active, port: port2});
  const worker = new FakeWorker({generate: () => undefined});
  const channel = new Channel(worker, () => {});
  channel.stopper = port1;
  const stopped = async (running, cancelFlag = 64) => {
    const controller = new AbortController();
    channel.call('generate', {}, {signal: controller.signal, cancelFlag}).catch(() => {});
    Atomics.store(new Int32Array(active), 0, running(worker.sent.at(-1).id));
    controller.abort();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return Atomics.load(new Uint8Array(memory.buffer), cancelFlag);
  };
  assert.equal(await stopped((id) => id + 1), 0, 'another one runs');
  assert.equal(await stopped((id) => id), 1);
  memory.grow(2);
  assert.equal(await stopped((id) => id, 65536 + 64), 1, 'a flag in memory that was added since');
  // A flag that the page hears of after it asked to stop.
  const late = new AbortController();
  channel.call('embed', {}, {signal: late.signal}).catch(() => {});
  const {id} = worker.sent.at(-1);
  Atomics.store(new Int32Array(active), 0, id);
  late.abort();
  worker.say({id, event: {type: 'flag', cancelFlag: 128}});
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(Atomics.load(new Uint8Array(memory.buffer), 128), 1);
  channel.fail(makeError('disposed', 'x'));
  port2.close();
});

test('a chat whose session could not be made is told so, and the next one tries again', async () => {
  let tries = 0;
  const {chat: completions} = chat({generate: speak, chatSession: () => {
    if (++tries === 1) throw makeError('out-of-memory', 'no room');
    return {cancelFlag: 64};
  }});
  await refused(() => completions.create({messages: hello}), 'out-of-memory', /no room/);
  assert.equal((await completions.create({messages: hello})).choices[0].message.content, ' blue sky');
});

test('a refused prompt leaves no rejection behind, whatever became of the session', async () => {
  const unhandled = [];
  const hear = (error) => unhandled.push(error);
  process.on('unhandledRejection', hear);
  const {chat: completions} = chat({chatSession: () => { throw makeError('out-of-memory', 'no room'); }});
  await refused(() => completions.create({messages: hello, images: ['data:nothing']}), 'invalid-argument', /data: URL/);
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off('unhandledRejection', hear);
  assert.deepEqual(unhandled, []);
});

test('renderChat keeps the parts of messages and their further fields', async () => {
  const worker = new FakeWorker({load: () => ({version: '1', model: {name: 'm'}, stop: null}), renderChat: () => 'text'});
  const model = new LoadedModel(await load({start: () => worker}, 'https://x/', {}));
  const pixels = {data: new Uint8Array(4), width: 1, height: 1};
  await model.renderChat([{role: 'developer', content: 'Be brief.'}, {role: 'user', name: 'Ann', content: [
    {type: 'text', text: 'a '}, {type: 'image', image: pixels}, {type: 'text', text: ' b'}]}]);
  assert.deepEqual(worker.calls('renderChat')[0].messages, [
    {role: 'system', content: 'Be brief.'}, {role: 'user', content: 'a <__media__> b', extra: {name: 'Ann'}}]);
  await refused(() => model.renderChat([{role: 'user', content: 5}]), 'invalid-argument', /a string or a list of parts/);
  await model.dispose();
});

test('a worker that dies and a Mote that is disposed of end every call', async () => {
  const {chat: completions, worker, channel} = chat({generate: () => undefined});
  const lost = completions.create({messages: hello});
  lost.catch(() => {});
  await Promise.resolve();
  worker.fail(makeError('module', 'the worker failed: x'));
  await assert.rejects(lost, {code: 'module'});
  await assert.rejects(channel.call('memory', {}), {code: 'module'});
  const other = chat({generate: () => undefined});
  const waiting = other.chat.create({messages: hello});
  waiting.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 0));
  await other.channel.close();
  await assert.rejects(waiting, {code: 'disposed'});
  assert.ok(other.worker.ended);
});

test('a load sends its sources in pieces when they are asked for', async () => {
  const bytes = new Uint8Array(9 << 20).map((_, i) => i);
  const got = [];
  let worker;
  const pulls = async (args) => {
    for (const source of args.parts) {
      for (;;) {
        const answer = new Promise((resolve) => { worker.fed = resolve; });
        worker.say({pull: source.feed});
        const {bytes: piece} = await answer;
        if (!piece) break;
        got.push(piece);
      }
    }
    return {version: '1', model: {name: 'm'}, stop: null};
  };
  const platform = {start: () => {
    worker = new FakeWorker({load: pulls});
    const post = worker.post.bind(worker);
    worker.post = (message) => 'feed' in message ? worker.fed(message) : post(message);
    return worker;
  }};
  const stream = new ReadableStream({start(controller) {
    controller.enqueue(Uint8Array.of(1, 2));
    controller.enqueue(Uint8Array.of(3));
    controller.close();
  }});
  const model = new LoadedModel(await load(platform, [bytes, {stream, size: 3}], {context: 64, threads: 1}));
  assert.deepEqual(got.map(({length}) => length), [4 << 20, 4 << 20, 1 << 20, 2, 1]);
  assert.deepEqual([bytes.length, bytes[300]], [9 << 20, 44], 'the caller keeps what it gave');
  assert.equal(model.info.version, '1');
  const {parts, context, threads} = worker.calls('load')[0];
  assert.deepEqual([parts[0].size, parts[1].size, context, threads], [9 << 20, 3, 64, 1]);
  await model.dispose();
  assert.ok(worker.ended);
  const locked = new ReadableStream();
  locked.getReader();
  const detached = new ArrayBuffer(8);
  structuredClone(detached, {transfer: [detached]});
  for (const [source, words] of [[locked, /the stream is locked/], [detached, /the buffer is detached/],
                                 [new Response('GGUF'), /give its body/], [{stream, size: -1}, /size must be a whole number/],
                                 [{url: 'https://x/', headers: {'a b': 'c'}}, /headers: /], ['http://', /is no address/],
                                 [[], /at least one part/], [5, /a model comes from/], [{url: 'https://x/', sha256: 'zz'}, /64 hexadecimal/]]) {
    await refused(() => load(platform, source, {}), 'invalid-argument', words);
    assert.ok(worker.ended, 'no worker is left behind');
  }
  for (const [options, words] of [[{context: -1}, /context must be a whole number/], [{cache: 'sometimes'}, /cache must be one of "default", "no-cache"/],
                                  [{variant: 'mmx'}, /variant must be one of "auto"/], [{cacheType: 'q4_0'}, /cacheType must be one of "f16", "q8_0"/],
                                  [{assets: 'mote/'}, /assets: "mote\/" is no address/], [{signal: 5}, /signal must be/], [null, /options/]]) {
    await refused(() => load(platform, bytes, options), 'invalid-argument', words);
  }
});

test('a stream that is not wanted any more is cancelled; what follows a # is no other file', async () => {
  let worker;
  const cancelled = [];
  const stream = () => new ReadableStream({pull: () => new Promise(() => {}), cancel: (reason) => { cancelled.push(reason.code); }});
  const platform = (reply) => ({start: () => (worker = new FakeWorker({load: reply}))});
  const [one, two] = [stream(), stream()];
  await refused(() => load(platform(() => { throw makeError('malformed', 'no'); }), {stream: one, size: 9}, {}), 'malformed', /no/);
  const controller = new AbortController();
  const loading = load(platform(({parts}) => worker.say({pull: parts[0].feed})), two, {signal: controller.signal});
  loading.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 5));
  controller.abort();
  await assert.rejects(loading, {code: 'aborted'});
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([cancelled, one.locked, two.locked], [['disposed', 'aborted'], false, false]);
  await load(platform(() => ({model: {}})), 'https://x/a.gguf?b#c', {});
  assert.equal(worker.calls('load')[0].parts[0].url, 'https://x/a.gguf?b');
});

test('a load that is stopped ends its worker', async () => {
  let worker;
  const platform = {start: () => (worker = new FakeWorker({load: () => undefined}))};
  const controller = new AbortController();
  const loading = load(platform, 'https://x/', {signal: controller.signal});
  loading.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 0));
  controller.abort();
  await assert.rejects(loading, {name: 'AbortError'});
  assert.ok(worker.ended);
});

test('every error crosses to another thread with its class, code and details', () => {
  for (const code of ['aborted', 'context-full', 'corrupted', 'csp-blocked', 'disposed', 'internal', 'invalid-argument', 'malformed',
                      'module', 'network', 'not-found', 'out-of-memory', 'quota', 'unsupported']) {
    const error = makeError(code, 'words', {needed: 5});
    const back = fromRecord(structuredClone(toRecord(error)));
    assert.equal(back.constructor, error.constructor);
    assert.deepEqual([back.code, back.message, back.details, back.name], [code, 'words', {needed: 5}, error.name]);
  }
  assert.equal(toRecord(new RangeError('Array buffer allocation failed')).code, 'out-of-memory');
  assert.deepEqual(toRecord(new TypeError('x')), {code: 'internal', message: 'TypeError: x', details: {}});
});
