// The official clients, unmodified, against `mote serve`: OpenAI's for npm, and LangChain's.
//   node openai_client_test.mjs --program PATH [--model PATH] | --url http://127.0.0.1:8080   [--clients FOLDER]
// Without --model, the model in the box. Exits 77, aloud, where the clients are not installed: scripts/clients.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import {resolve} from 'node:path';
import {crc32, deflateSync} from 'node:zlib';

const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : process.argv[at + 1];
};
const clients = resolve(option('--clients') ?? 'build/tools/clients');
if (!existsSync(`${clients}/node_modules/openai`)) {
  console.log('openai clients: SKIPPED, they are not installed: scripts/clients');
  process.exit(77);
}
const require = createRequire(`${clients}/`);
const {OpenAI} = require('openai');
// Here and not where it is used: loading it stops the event loop for longer than a connection may be idle.
const {ChatOpenAI} = require('@langchain/openai');

// The server on a free port, and how to end it.
async function start() {
  if (option('--url')) return {url: option('--url'), stop: async () => {}};
  const words = ['serve', ...(option('--model') ? [option('--model')] : []), '--port', '0',
                 '--threads', '1', '--lame-duck', '0'];
  const child = spawn(option('--program'), words, {stdio: ['ignore', 'ignore', 'pipe']});
  let log = '';
  const url = await new Promise((found, failed) => {
    child.stderr.on('data', (data) => {
      log += data;
      const match = /listening on (?:http:\/\/)?([^\s;"]+:\d+)/.exec(log);
      if (match) found(`http://${match[1]}`);
    });
    child.on('exit', (code) => failed(new Error(`mote serve ended with ${code}: ${log}`)));
  });
  const ended = new Promise((done) => child.on('exit', (code) => done(code)));
  const stop = async () => {
    child.kill('SIGTERM');
    assert.equal(await ended, 0, log);
  };
  return {url, stop};
}

// A PNG of one colour.
function picture(red, green, blue, side = 64) {
  const chunk = (type, data) => {
    const bytes = Buffer.concat([Buffer.from(type), data]);
    const framed = Buffer.alloc(bytes.length + 8);
    framed.writeUInt32BE(data.length);
    bytes.copy(framed, 4);
    framed.writeUInt32BE(crc32(bytes), bytes.length + 4);
    return framed;
  };
  const header = Buffer.from([0, 0, 0, side, 0, 0, 0, side, 8, 2, 0, 0, 0]);
  const row = Buffer.concat([Buffer.from([0]), ...Array.from({length: side}, () => Buffer.from([red, green, blue]))]);
  const pixels = deflateSync(Buffer.concat(Array.from({length: side}, () => row)));
  const file = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', pixels),
                              chunk('IEND', Buffer.alloc(0))]);
  return `data:image/png;base64,${file.toString('base64')}`;
}

const server = await start();
const baseURL = `${server.url}/v1`;
const openai = new OpenAI({baseURL, apiKey: 'none', maxRetries: 0});
const model = (await openai.models.list()).data[0].id;
const user = (content) => [{role: 'user', content}];
const greedy = {model, temperature: 0, max_tokens: 24};
const weather = {
  name: 'get_weather',
  description: 'The weather of a city',
  parameters: {type: 'object', properties: {city: {enum: ['Bonn', 'Rome']}}, required: ['city'], additionalProperties: false},
};
const answerSchema = {
  type: 'object',
  properties: {colour: {enum: ['red', 'green', 'blue']}, sure: {type: 'boolean'}},
  required: ['colour', 'sure'],
  additionalProperties: false,
};
const refusal = async (promise, type) => {
  const error = await promise.then(() => null, (reason) => reason);
  assert.ok(error instanceof type, `expected ${type.name}, got ${error}`);
  return error;
};

const tests = {
  async 'models: the list, and one by its name'() {
    assert.equal((await openai.models.retrieve(model)).id, model);
    const error = await refusal(openai.models.retrieve('no-such-model'), OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
  },
  async 'chat: whole and streamed are the same text'() {
    const whole = await openai.chat.completions.create({...greedy, messages: user('Say hello.')});
    const choice = whole.choices[0];
    assert.equal(whole.object, 'chat.completion');
    assert.equal(choice.message.role, 'assistant');
    assert.ok(['stop', 'length'].includes(choice.finish_reason));
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
    let text = '';
    let last = null;
    const stream = await openai.chat.completions.create(
      {...greedy, messages: user('Say hello.'), stream: true, stream_options: {include_usage: true}});
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      last = chunk;
    }
    assert.equal(text, choice.message.content);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
  },
  async 'chat: the stream helper puts the same answer together'() {
    const runner = openai.chat.completions.stream({...greedy, messages: user('Say hello.')});
    const final = await runner.finalChatCompletion();
    const whole = await openai.chat.completions.create({...greedy, messages: user('Say hello.')});
    assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
  },
  async 'chat: n, seed, stop and logprobs'() {
    const ask = {model, max_tokens: 12, seed: 7, n: 2, messages: user('Tell me something.'), logprobs: true, top_logprobs: 3};
    const first = await openai.chat.completions.create(ask);
    const again = await openai.chat.completions.create(ask);
    assert.equal(first.choices.length, 2);
    assert.deepEqual(first.choices.map((choice) => choice.message.content),
                     again.choices.map((choice) => choice.message.content));
    const tokens = first.choices[0].logprobs.content;
    assert.ok(tokens.length > 0);
    for (const token of tokens) {
      assert.ok(token.logprob <= 0 && token.top_logprobs.length <= 3);
      assert.equal(typeof token.token, 'string');
    }
    const whole = (await openai.chat.completions.create({...greedy, messages: user('Say hello.')})).choices[0].message.content;
    if (whole.length > 3) {
      const stop = whole.slice(2, 4);
      const cut = await openai.chat.completions.create({...greedy, messages: user('Say hello.'), stop});
      assert.equal(cut.choices[0].message.content, whole.slice(0, whole.indexOf(stop)));
      assert.equal(cut.choices[0].finish_reason, 'stop');
    }
  },
  async 'chat: an image as a data URL'() {
    const content = [{type: 'text', text: 'What colour is this?'}, {type: 'image_url', image_url: {url: picture(220, 20, 20)}}];
    const seen = await openai.chat.completions.create({...greedy, messages: user(content)}).catch((error) => error);
    if (seen instanceof OpenAI.APIError) {  // a model without a vision file
      assert.equal(seen.status, 400);
      return 'the model sees no images';
    }
    assert.ok(seen.choices[0].message.content.length > 0);
    assert.ok(seen.usage.prompt_tokens_details.image_tokens > 0);
    content[1].image_url.url = 'http://127.0.0.1:1/a.png';
    const error = await refusal(openai.chat.completions.create({...greedy, messages: user(content)}), OpenAI.BadRequestError);
    assert.equal(error.param, 'messages[0].content[1].image_url.url');
  },
  async 'tools: required and named calls have arguments that fit'() {
    const tools = [{type: 'function', function: weather}];
    for (const tool_choice of ['required', {type: 'function', function: {name: 'get_weather'}}]) {
      const whole = await openai.chat.completions.create({...greedy, max_tokens: 300, messages: user('Bonn?'), tools, tool_choice});
      const [call] = whole.choices[0].message.tool_calls;
      assert.equal(whole.choices[0].finish_reason, 'tool_calls');
      assert.equal(call.function.name, 'get_weather');
      assert.ok(['Bonn', 'Rome'].includes(JSON.parse(call.function.arguments).city));
    }
    const runner = openai.chat.completions.stream(
      {...greedy, max_tokens: 300, messages: user('Bonn?'), tools, tool_choice: 'required'});
    const message = (await runner.finalChatCompletion()).choices[0].message;
    assert.ok(['Bonn', 'Rome'].includes(JSON.parse(message.tool_calls[0].function.arguments).city));
    const next = await openai.chat.completions.create({
      ...greedy, tools, tool_choice: 'none',
      messages: [...user('Bonn?'), message, {role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'rain'}],
    });
    assert.equal(next.choices[0].message.tool_calls, undefined);
  },
  async 'JSON schema: the answer fits'() {
    const response_format = {type: 'json_schema', json_schema: {name: 'answer', strict: true, schema: answerSchema}};
    const whole = await openai.chat.completions.create(
      {model, temperature: 1, max_tokens: 300, messages: user('Which colour?'), response_format});
    const answer = JSON.parse(whole.choices[0].message.content);
    assert.ok(['red', 'green', 'blue'].includes(answer.colour));
    assert.equal(typeof answer.sure, 'boolean');
    const broken = {type: 'json_schema', json_schema: {name: 'answer', schema: {type: 'no-such-type'}}};
    await refusal(openai.chat.completions.create({...greedy, messages: user('x'), response_format: broken}),
                  OpenAI.BadRequestError);
  },
  async 'completions: text, streamed and several prompts'() {
    const whole = await openai.completions.create({...greedy, prompt: ['Once upon a time', 'The sky'], echo: true});
    assert.equal(whole.choices.length, 2);
    assert.ok(whole.choices[1].text.startsWith('The sky'));
    let text = '';
    for await (const chunk of await openai.completions.create({...greedy, prompt: 'The sky', stream: true})) {
      text += chunk.choices[0].text;
    }
    assert.equal(`The sky${text}`, whole.choices[1].text);
  },
  async 'responses: whole and streamed'() {
    const ask = {model, temperature: 0, max_output_tokens: 24, input: 'Say hello.'};
    const whole = await openai.responses.create(ask);
    assert.ok(whole.output_text.length > 0);
    assert.ok(['completed', 'incomplete'].includes(whole.status));
    let text = '';
    let last = '';
    for await (const event of await openai.responses.create({...ask, stream: true})) {
      if (event.type === 'response.output_text.delta') text += event.delta;
      last = event.type;
    }
    assert.equal(text, whole.output_text);
    assert.ok(['response.completed', 'response.incomplete'].includes(last));
  },
  async 'embeddings: vectors of length 1, or a refusal that says so'() {
    const result = await openai.embeddings.create({model, input: ['a cat', 'a dog']}).catch((error) => error);
    if (result instanceof OpenAI.APIError) {
      assert.ok([400, 501].includes(result.status), String(result));
      return `refused: ${result.message}`;
    }
    assert.equal(result.data.length, 2);
    const length = result.data[0].embedding.reduce((sum, value) => sum + value * value, 0);
    assert.ok(Math.abs(length - 1) < 1e-3);
  },
  async 'errors: of a type, with the field at fault'() {
    const error = await refusal(openai.chat.completions.create({model, messages: user('x'), temperature: 9}), OpenAI.BadRequestError);
    assert.equal(error.param, 'temperature');
    assert.equal(error.type, 'invalid_request_error');
    const long = await refusal(openai.chat.completions.create({...greedy, messages: user('word '.repeat(200000))}), OpenAI.APIError);
    assert.ok([400, 413].includes(long.status), String(long));
    const stream = openai.chat.completions.create({model, messages: [], stream: true});
    assert.equal((await refusal(stream, OpenAI.BadRequestError)).param, 'messages');
  },
  async 'abort: the stream ends, and the server goes on'() {
    const ask = {model, max_tokens: 2000, messages: user('Tell a long story.'), ignore_eos: true};
    for (let round = 0; round < 5; ++round) {
      const controller = new AbortController();
      const stream = await openai.chat.completions.create({...ask, stream: true}, {signal: controller.signal});
      let chunks = 0;
      for await (const chunk of stream) {
        if (chunk && ++chunks === 3) controller.abort();
      }
      assert.ok(chunks < 2000);
      const waiting = new AbortController();
      const whole = openai.chat.completions.create(ask, {signal: waiting.signal});
      setTimeout(() => waiting.abort(), 20);
      await refusal(whole, OpenAI.APIUserAbortError);
    }
    const free = async () => (await (await fetch(`${server.url}/slots`)).json()).every((slot) => !slot.is_processing);
    while (!await free()) await new Promise((done) => setTimeout(done, 20));
    const after = await openai.chat.completions.create({...greedy, messages: user('Say hello.')});
    assert.ok(after.choices[0].message.content !== null);
  },
  async 'LangChain: invoke, stream, structured output, tools'() {
    const chat = new ChatOpenAI({model, apiKey: 'none', temperature: 0, maxTokens: 300, maxRetries: 0,
                                 configuration: {baseURL}});
    const whole = await chat.invoke('Say hello.');
    assert.ok(whole.content.length > 0);
    assert.ok(whole.usage_metadata.input_tokens > 0);
    let text = '';
    for await (const chunk of await chat.stream('Say hello.')) text += chunk.content;
    assert.equal(text, whole.content);
    const structured = chat.withStructuredOutput({title: 'answer', ...answerSchema}, {name: 'answer', method: 'jsonSchema'});
    assert.ok(['red', 'green', 'blue'].includes((await structured.invoke('Which colour?')).colour));
    const bound = chat.bindTools([{type: 'function', function: weather}], {tool_choice: 'get_weather'});
    const [call] = (await bound.invoke('Bonn?')).tool_calls;
    assert.equal(call.name, 'get_weather');
    assert.ok(['Bonn', 'Rome'].includes(call.args.city));
  },
  async 'lines of JSON with progress'() {
    const reply = await fetch(`${baseURL}/chat/completions`, {
      method: 'POST',
      headers: {'content-type': 'application/json', accept: 'application/x-ndjson'},
      body: JSON.stringify({...greedy, messages: user('Say hello.')}),
    });
    const lines = (await reply.text()).split('\n').filter((line) => line).map((line) => JSON.parse(line));
    assert.equal(lines.at(-1).event, 'done');
    assert.ok(lines.some((line) => line.event === 'delta'));
  },
};

let failures = 0;
const only = option('--only');
for (const [name, test] of Object.entries(tests)) {
  if (only && !only.split(',').some((start) => name.startsWith(start))) continue;
  try {
    const note = await test();
    console.log(`passed: ${name}${note ? ` (${note})` : ''}`);
  } catch (error) {
    ++failures;
    console.log(`FAILED: ${name}\n${error.stack}`);
    for (let cause = error.cause; cause; cause = cause.cause) console.log(`  because: ${cause.message} ${cause.code ?? ''}`);
  }
}
await server.stop();
console.log(failures === 0 ? 'openai clients: all passed' : `openai clients: ${failures} failed`);
process.exit(failures === 0 ? 0 : 1);
