// chat.completions.create: OpenAI's shapes over the one session of the chats, which keeps what it has read, so that a
// conversation that goes on computes only what is new.
import {InvalidArgumentError, UnsupportedError} from '../errors.ts';
import type {TokenInfo} from '../module/types.ts';
import type {Generated, Timings} from '../protocol.ts';
import type {Channel} from './channel.ts';
import {objectOf, shown} from './check.ts';
import {Generation, stoppedWith, type GenerateOptions, type PromptProgress} from './generation.ts';
import type {ImageInput} from './images.ts';
import {prepare, type ChatMessage} from './prompt.ts';

export type ResponseFormat =
  | {type: 'text'}
  | {type: 'json_object'}
  | {type: 'json_schema'; json_schema: {schema: unknown; [field: string]: unknown}}
  | {type: 'grammar'; grammar: string};

export interface ChatParams {
  messages: readonly ChatMessage[];
  /** Pictures before the last question, where the messages hold none themselves. */
  images?: readonly ImageInput[];
  /** Default: until the context is full. */
  max_tokens?: number;
  max_completion_tokens?: number;
  /** [0, 2], default 1. */
  temperature?: number;
  /** [0, 1], default 1. */
  top_p?: number;
  top_k?: number;
  min_p?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  repeat_penalty?: number;
  seed?: number;
  stop?: string | readonly string[] | null;
  /** Ids of tokens to [-100, 100]; -100: never. */
  logit_bias?: Readonly<Record<string, number>>;
  logprobs?: boolean;
  top_logprobs?: number;
  response_format?: ResponseFormat;
  /** Variables of the model's chat template. */
  chat_template_kwargs?: Record<string, unknown>;
  stream_options?: {include_usage?: boolean};
  /** Any name; the answer carries it. */
  model?: string;
  n?: 1;
  signal?: AbortSignal;
  onProgress?: (progress: PromptProgress) => void;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: {cached_tokens: number; image_tokens: number};
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[] | null;
  top_logprobs: {token: string; logprob: number; bytes: number[] | null}[];
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: [{
    index: 0;
    message: {role: 'assistant'; content: string; refusal: null};
    finish_reason: 'stop' | 'length';
    logprobs: {content: TokenLogprob[]} | null;
  }];
  usage: Usage;
  timings: Timings;
}

export interface ChatChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: 0;
    delta: {role?: 'assistant'; content?: string};
    finish_reason: 'stop' | 'length' | null;
    logprobs: {content: TokenLogprob[]} | null;
  }[];
  /** In the last chunk: with stream_options.include_usage one of its own without choices, as OpenAI sends it; otherwise
   * the one with the finish_reason. */
  usage: Usage | null;
  timings?: Timings;
}

const RANGES: [keyof ChatParams, number, number][] = [
  ['temperature', 0, 2], ['top_p', 0, 1], ['top_k', -1, 1 << 20], ['min_p', 0, 1], ['presence_penalty', -2, 2],
  ['frequency_penalty', -2, 2], ['repeat_penalty', 0.01, 10], ['top_logprobs', 0, 20], ['max_tokens', 1, 131072],
  ['max_completion_tokens', 1, 131072],
];
// The answer would not be what was asked for.
const REFUSED = ['tools', 'tool_choice', 'functions', 'function_call', 'audio', 'modalities'];

function check(params: ChatParams): void {
  for (const [name, low, high] of RANGES) {
    const value = params[name];
    if (value === undefined || value === null) continue;
    if (typeof value === 'number' && value >= low && value <= high) continue;
    throw new InvalidArgumentError(`${name} must be a number from ${low} to ${high}, not ${shown(value)}`);
  }
  if ((params.n ?? 1) !== 1) throw new UnsupportedError('n: one answer at a time; ask again for another');
  for (const name of REFUSED) {
    const value = (params as unknown as Record<string, unknown>)[name];
    const empty = value === undefined || value === null || value === 'none' || (Array.isArray(value) && value.length === 0);
    if (!empty) throw new UnsupportedError(`${name}: the package has no tools yet; \`mote serve\` does`);
  }
}

function biasOf(bias: ChatParams['logit_bias']): Record<number, number> {
  const given = Object.entries(bias ?? {});
  for (const [id, value] of given) {
    if (/^\d+$/.test(id) && value >= -100 && value <= 100) continue;
    throw new InvalidArgumentError(`logit_bias: ids of tokens to numbers from -100 to 100, not ${id}: ${value}`);
  }
  return Object.fromEntries(given.map(([id, value]) => [id, value === -100 ? -Infinity : value]));
}

function formatOf(format: ResponseFormat | undefined): Pick<GenerateOptions, 'grammar' | 'jsonSchema' | 'json'> {
  if (!format || format.type === 'text') return {};
  if (format.type === 'json_object') return {json: true};
  if (format.type === 'json_schema' && format.json_schema?.schema !== undefined) return {jsonSchema: format.json_schema.schema};
  if (format.type === 'grammar' && typeof format.grammar === 'string') return {grammar: format.grammar};
  throw new InvalidArgumentError("response_format: {type: 'text'}, {type: 'json_object'}, {type: 'json_schema', " +
    "json_schema: {schema}} or {type: 'grammar', grammar}");
}

function optionsOf(params: ChatParams): GenerateOptions {
  check(params);
  const {signal, onProgress, seed} = params;
  const most = params.max_completion_tokens ?? params.max_tokens;
  return {
    temperature: params.temperature ?? 1,
    // 0 means the likeliest token alone; the engine's own is above 0.
    topP: Math.max(params.top_p ?? 1, 1e-6), topK: Math.max(params.top_k ?? 40, 0), minP: params.min_p ?? 0.05,
    presencePenalty: params.presence_penalty ?? 0, frequencyPenalty: params.frequency_penalty ?? 0,
    repeatPenalty: params.repeat_penalty ?? 1, logitBias: biasOf(params.logit_bias), stop: params.stop ?? [],
    ...formatOf(params.response_format), ...(most === undefined ? {} : {maxTokens: most}),
    ...(params.logprobs ? {topLogprobs: params.top_logprobs ?? 0} : {}),
    ...(seed === undefined || seed === null ? {} : {seed}), ...(signal ? {signal} : {}), ...(onProgress ? {onProgress} : {}),
  };
}

function usageOf(result: Generated): Usage {
  const {promptTokens, cachedTokens, imageTokens, tokens} = result;
  return {
    prompt_tokens: promptTokens, completion_tokens: tokens.length, total_tokens: promptTokens + tokens.length,
    prompt_tokens_details: {cached_tokens: cachedTokens, image_tokens: imageTokens},
  };
}

/** Text and bytes of a token, for log-probabilities. */
type Speller = (token: number) => Promise<string>;

async function logprobsOf(infos: readonly TokenInfo[], spell: Speller): Promise<TokenLogprob[]> {
  const one = async (token: number, logprob: number) => {
    const text = await spell(token);
    // A token may be part of a character; its bytes are then not those of its text.
    const bytes = text.includes('\uFFFD') ? null : [...new TextEncoder().encode(text)];
    return {token: text, logprob, bytes};
  };
  return Promise.all(infos.map(async ({token, logprob, top}) => ({
    ...await one(token, logprob), top_logprobs: await Promise.all(top.map((other) => one(other.token, other.logprob))),
  })));
}

export class Completions {
  readonly #channel: Channel;
  readonly #name: string;
  #flag: Promise<number> | null = null;

  /** @internal */
  constructor(channel: Channel, name: string) {
    this.#channel = channel;
    this.#name = name;
  }

  /** The whole answer; with `stream`, its pieces as they come. Mistakes in `params` throw, or reject, before anything runs. */
  create(params: ChatParams & {stream: true}): AsyncIterable<ChatChunk>;
  create(params: ChatParams & {stream?: false | null}): Promise<ChatCompletion>;
  create(params: ChatParams & {stream?: boolean | null}): AsyncIterable<ChatChunk> | Promise<ChatCompletion>;
  create(params: ChatParams & {stream?: boolean | null}): AsyncIterable<ChatChunk> | Promise<ChatCompletion> {
    if (!objectOf('create: what is asked', params).stream) return this.#whole(params);
    const generation = this.#start(params);
    return stoppedWith(this.#stream(params, generation), generation);
  }

  #start(params: ChatParams): Generation {
    const options = optionsOf(params);
    const {messages, images, chat_template_kwargs: template} = params;
    const prepared = prepare({messages, ...(images ? {images} : {}), ...(template ? {template} : {})}, params.signal);
    prepared.catch(() => {});
    return new Generation(this.#channel, {id: 0, cancelFlag: this.#cancelFlag()}, prepared, options);
  }

  // Asked for once; where that fails (there was no memory for the session), the next answer asks anew.
  #cancelFlag(): Promise<number> {
    if (this.#flag) return this.#flag;
    const flag = this.#channel.call('chatSession', {}).then(({cancelFlag}) => cancelFlag);
    // Whoever generates hears of it; where the prompt was refused before, nobody does.
    flag.catch(() => { this.#flag = null; });
    this.#flag = flag;
    return flag;
  }

  #head(params: ChatParams) {
    const random = crypto.getRandomValues(new Uint8Array(12));
    const id = `chatcmpl-${Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    return {id, created: Math.floor(Date.now() / 1000), model: params.model ?? this.#name};
  }

  readonly #spell: Speller = (token) => this.#channel.call('detokenize', {tokens: [token], showSpecial: true});

  async #whole(params: ChatParams): Promise<ChatCompletion> {
    const head = this.#head(params);
    const infos: TokenInfo[] = [];
    const generation = this.#start(params);
    if (params.logprobs) for await (const piece of generation) infos.push(...piece.tokens);
    const result = await generation.result;
    return {
      ...head, object: 'chat.completion',
      choices: [{
        index: 0, message: {role: 'assistant', content: result.text, refusal: null},
        finish_reason: result.finishReason === 'length' ? 'length' : 'stop',
        logprobs: params.logprobs ? {content: await logprobsOf(infos, this.#spell)} : null,
      }],
      usage: usageOf(result), timings: result.timings,
    };
  }

  async * #stream(params: ChatParams, generation: Generation): AsyncGenerator<ChatChunk, void, undefined> {
    const head = {...this.#head(params), object: 'chat.completion.chunk' as const};
    const chunk = (delta: ChatChunk['choices'][0]['delta'], finish: 'stop' | 'length' | null = null,
                   logprobs: TokenLogprob[] | null = null): ChatChunk => ({
      ...head, usage: null,
      choices: [{index: 0, delta, finish_reason: finish, logprobs: logprobs ? {content: logprobs} : null}],
    });
    yield chunk({role: 'assistant', content: ''});
    for await (const {text, tokens} of generation) {
      yield chunk({content: text}, null, params.logprobs ? await logprobsOf(tokens, this.#spell) : null);
    }
    const result = await generation.result;
    const last = chunk({}, result.finishReason === 'length' ? 'length' : 'stop');
    const account = {usage: usageOf(result), timings: result.timings};
    if (params.stream_options?.include_usage) {
      yield last;
      yield {...head, choices: [], ...account};
    } else {
      yield {...last, ...account};
    }
  }
}
