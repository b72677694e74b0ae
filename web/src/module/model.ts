// Models, prompts and grammars over mote.h.
import {ModuleError} from './errors.ts';
import {FileMemory, GrammarHandle, Handle, PromptHandle} from './handles.ts';
import type {Scope} from './memory.ts';
import type {Freeable, Runtime} from './runtime.ts';
import {makeSession} from './session.ts';
import type {
  Allocation, ChatMessage, ChatOptions, Grammar, LoadOptions, Model, ModelInfo, Pixels, PromptOptions,
  Session, StepReport, VisionInfo, VisionOptions,
} from './types.ts';

const kAddSpecial = 1, kParseSpecial = 2, kShowSpecial = 4;
const kDefaultContext = 2048;
const kDefaultBatch = 128;
const kDefaultImageCache = 32 << 20;
const kMostDimension = 65535;

// Arguments of a call that makes a prompt.
interface Images {
  address: number;
  count: number;
}

function passImages(runtime: Runtime, scope: Scope, images: readonly Pixels[]): Images {
  if (images.length === 0) return {address: 0, count: 0};
  const size = runtime.memory.sizeOf('mote_image');
  const address = scope.zeroed(size * images.length);
  images.forEach(({data, width, height, channels = 4}, i) => {
    const sides = [width, height].every((side) => Number.isInteger(side) && side >= 1 && side <= kMostDimension);
    if (!sides || data.length !== width * height * channels) {
      throw new ModuleError('invalid_argument', `image ${i} has ${data.length} bytes; ${width} x ${height} pixels of ${
          channels} channels have ${width * height * channels}, with sides of 1 to ${kMostDimension}`);
    }
    const pixels = scope.bytes(data);
    scope.fill('mote_image', address + i * size, {pixels, width, height, channels});
  });
  return {address, count: images.length};
}

function passMessages(runtime: Runtime, scope: Scope, messages: readonly ChatMessage[]): number {
  const size = runtime.memory.sizeOf('mote_chat_message');
  const address = scope.zeroed(Math.max(size * messages.length, 1));
  messages.forEach(({role, content, extra}, i) => {
    scope.fill('mote_chat_message', address + i * size, {
      role: scope.string(role),
      content: scope.string(content),
      extra_json: scope.string(extra === undefined ? undefined : JSON.stringify(extra)),
    });
  });
  return address;
}

function passChat(scope: Scope, options: ChatOptions): number {
  return scope.params('mote_chat_params', {
    no_generation_prompt: options.noGenerationPrompt === true ? 1 : 0,
    tools_json: scope.string(options.tools === undefined ? undefined : JSON.stringify(options.tools)),
    extra_json: scope.string(options.extra === undefined ? undefined : JSON.stringify(options.extra)),
  });
}

const tokenizeFlags = (options: {addSpecial?: boolean, parseSpecial?: boolean}): number =>
    (options.addSpecial === true ? kAddSpecial : 0) | (options.parseSpecial === true ? kParseSpecial : 0);
const showFlags = (options: {showSpecial?: boolean}): number => options.showSpecial === true ? kShowSpecial : 0;

export class LoadedModel implements Model {
  readonly info: ModelInfo;
  readonly runtime: Runtime;
  readonly children = new Set<Freeable>();
  readonly #handle: Handle;
  readonly #files: Allocation[];
  readonly #owner: Set<Freeable>;
  #vision: VisionInfo | null = null;

  constructor(runtime: Runtime, owner: Set<Freeable>, file: Allocation, options: LoadOptions) {
    fileAddress(file);
    this.runtime = runtime;
    this.#files = [file];
    const user = runtime.listen(
        options.onProgress === undefined ? {} : {loadProgress: options.onProgress});
    try {
      this.#handle = runtime.scoped((scope) => {
        const params = scope.params('mote_model_params', {
          context: options.context ?? kDefaultContext,
          max_batch: options.maxBatch ?? kDefaultBatch,
          vocab_only: options.vocabOnly === true ? 1 : 0,
          memory_limit: options.memoryLimit,
          isa: options.isa === undefined ? undefined : scope.string(options.isa),
          log: runtime.callbacks.log,
          progress: runtime.callbacks.loadProgress,
          progress_user: user,
          cache_type_k: options.cacheType === 'q8_0' ? 1 : 0,
          cache_type_v: options.cacheType === 'q8_0' ? 1 : 0,
        });
        const place = scope.zeroed(4);
        runtime.request(scope, 'mote_model_load_in_place', fileAddress(file), BigInt(file.size), params, place);
        return new Handle(runtime, 'model', runtime.memory.pointer(place), owner,
                          (model) => runtime.call(null, 'mote_model_free', model));
      });
    } catch (error) {
      freeAll(runtime, this.#files);
      throw error;
    } finally {
      runtime.unlisten(user);
    }
    owner.delete(this.#handle);
    owner.add(this);
    this.#owner = owner;
    this.info = this.#readInfo();
  }

  get address(): number {
    return this.#handle.address;
  }
  get vision(): VisionInfo | null {
    return this.#vision;
  }

  loadVision(file: Allocation, options: VisionOptions = {}): void {
    const {runtime} = this;
    fileAddress(file);
    const user = runtime.listen(options.onProgress === undefined ? {} : {loadProgress: options.onProgress});
    try {
      runtime.scoped((scope) => {
        const params = scope.params('mote_vision_params', {
          cache_bytes: options.cacheBytes ?? kDefaultImageCache,
          max_tokens: options.maxTokens,
          progress: runtime.callbacks.loadProgress,
          progress_user: user,
        });
        runtime.request(scope, 'mote_model_load_vision_in_place', this.address, fileAddress(file), BigInt(file.size),
                        params);
      });
      this.#files.push(file);
    } catch (error) {
      freeAll(runtime, [file]);
      throw error;
    } finally {
      runtime.unlisten(user);
    }
    this.#vision = this.#readVision();
  }

  tokenize(text: string, options: {addSpecial?: boolean, parseSpecial?: boolean} = {}): Int32Array {
    return this.runtime.scoped((scope) => {
      const {address, size} = scope.text(text);
      const tokens = this.runtime.fill(scope, 4, 'mote_tokenize', this.address, address, size, tokenizeFlags(options));
      return this.runtime.memory.copyInt32(tokens.address, tokens.count);
    });
  }
  detokenize(tokens: ArrayLike<number>, options: {showSpecial?: boolean} = {}): Uint8Array {
    return this.runtime.scoped((scope) => {
      const text = this.runtime.fill(scope, 1, 'mote_detokenize', this.address, scope.int32(tokens), tokens.length,
                                     showFlags(options));
      return this.runtime.memory.copyBytes(text.address, text.count);
    });
  }
  tokenText(token: number, options: {showSpecial?: boolean} = {}): Uint8Array {
    return this.runtime.scoped((scope) => {
      const text = this.runtime.fill(scope, 1, 'mote_token_text', this.address, token, showFlags(options));
      return this.runtime.memory.copyBytes(text.address, text.count);
    });
  }
  tokenIsEnd(token: number): boolean {
    return this.runtime.call(null, 'mote_token_is_end', this.address, token) !== 0;
  }
  tokenIsControl(token: number): boolean {
    return this.runtime.call(null, 'mote_token_is_control', this.address, token) !== 0;
  }
  findToken(text: string): number {
    return this.runtime.scoped((scope) => {
      const {address, size} = scope.text(text);
      return this.runtime.call(scope, 'mote_token_find', this.address, address, size);
    });
  }

  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    return this.runtime.scoped((scope) => {
      const text = this.runtime.fill(scope, 1, 'mote_chat_render', this.address,
                                     passMessages(this.runtime, scope, messages), messages.length,
                                     passChat(scope, options));
      return this.runtime.memory.text(text.address, text.count);
    });
  }
  tokenizeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Int32Array {
    return this.runtime.scoped((scope) => {
      const tokens = this.runtime.fill(scope, 4, 'mote_chat_tokenize', this.address,
                                       passMessages(this.runtime, scope, messages), messages.length,
                                       passChat(scope, options));
      return this.runtime.memory.copyInt32(tokens.address, tokens.count);
    });
  }

  promptFromTokens(tokens: ArrayLike<number>): PromptHandle {
    return this.#makePrompt('mote_prompt_create_tokens', (scope) => [scope.int32(tokens), tokens.length]);
  }
  promptFromText(text: string, images: readonly Pixels[] = [],
                 options: PromptOptions & {addSpecial?: boolean, parseSpecial?: boolean} = {}): PromptHandle {
    return this.#makePrompt('mote_prompt_create_text', (scope, user) => {
      const {address, size} = scope.text(text);
      const pictures = passImages(this.runtime, scope, images);
      return [address, size, tokenizeFlags(options), pictures.address, pictures.count,
              this.#passPrompt(scope, options, user)];
    }, options);
  }
  promptFromChat(messages: readonly ChatMessage[], images: readonly Pixels[] = [],
                 options: PromptOptions & ChatOptions = {}): PromptHandle {
    return this.#makePrompt('mote_prompt_create_chat', (scope, user) => {
      const pictures = passImages(this.runtime, scope, images);
      return [passMessages(this.runtime, scope, messages), messages.length, passChat(scope, options), pictures.address,
              pictures.count, this.#passPrompt(scope, options, user)];
    }, options);
  }

  createSession(context = 0): Session {
    return makeSession(this, context);
  }

  grammarFromGbnf(gbnf: string): Grammar {
    return this.#makeGrammar('mote_grammar_create', gbnf);
  }
  grammarFromSchema(schema: unknown): Grammar {
    return this.#makeGrammar('mote_grammar_create_json_schema', JSON.stringify(schema));
  }
  grammarForJson(): Grammar {
    return this.#makeGrammar('mote_grammar_create_json', null);
  }

  step(options: {maxPrefill?: number} = {}): StepReport {
    const {runtime} = this;
    return runtime.scoped((scope) => {
      const params = scope.params('mote_step_params', {max_prefill: options.maxPrefill});
      const report = scope.result('mote_step_report');
      runtime.request(scope, 'mote_model_step', this.address, params, report);
      return runtime.readInfo(report, 'mote_step_report', ['running', 'decode_rows', 'prefill_rows'], []) as unknown as
          StepReport;
    });
  }

  free(): void {
    for (const child of [...this.children]) child.free();
    this.#handle.free();
    this.#owner.delete(this);
    freeAll(this.runtime, this.#files);
  }

  #makePrompt(name: string, pass: (scope: Scope, user: number) => number[], options: PromptOptions = {}): PromptHandle {
    const {runtime} = this;
    const user = runtime.listen(options.onProgress === undefined ? {} : {imageProgress: options.onProgress});
    try {
      return runtime.scoped((scope) => {
        const place = scope.zeroed(4);
        runtime.request(scope, name, this.address, ...pass(scope, user), place);
        return new PromptHandle(runtime, runtime.memory.pointer(place), this.children);
      });
    } finally {
      runtime.unlisten(user);
    }
  }
  #passPrompt(scope: Scope, options: PromptOptions, user: number): number {
    const session = options.session as (Session & {address: number}) | undefined;
    return scope.params('mote_prompt_params', {
      session: session?.address,
      on_progress: options.onProgress === undefined ? undefined : this.runtime.callbacks.imageProgress,
      user,
    });
  }
  #makeGrammar(name: string, source: string | null): GrammarHandle {
    const {runtime} = this;
    return runtime.scoped((scope) => {
      const place = scope.zeroed(4);
      const text = source === null ? null : scope.text(source);
      runtime.request(scope, name, this.address, ...(text === null ? [] : [text.address, text.size]), place);
      return new GrammarHandle(runtime, runtime.memory.pointer(place), this.children);
    });
  }
  #readInfo(): ModelInfo {
    return this.runtime.scoped((scope) => {
      const info = scope.result('mote_model_info');
      this.runtime.request(scope, 'mote_model_get_info', this.address, info);
      return this.runtime.readInfo(info, 'mote_model_info', [
        'vocab_size', 'context', 'context_train', 'layers', 'width', 'threads', 'bos_token', 'eos_token', 'weight_bytes',
        'scratch_bytes', 'cache_bytes',
      ], ['architecture', 'name', 'backend', 'chat_template', 'template_error', 'weight_type']) as unknown as ModelInfo;
    });
  }
  #readVision(): VisionInfo {
    return this.runtime.scoped((scope) => {
      const info = scope.result('mote_vision_info');
      this.runtime.request(scope, 'mote_model_get_vision_info', this.address, info);
      const read = this.runtime.readInfo(info, 'mote_vision_info', [
        'image_size', 'patch_size', 'width', 'layers', 'heads', 'rows_per_view', 'any_size', 'max_rows', 'weight_bytes',
        'scratch_bytes',
      ], ['projector', 'name']);
      return {...read, anySize: read['anySize'] !== 0} as unknown as VisionInfo;
    });
  }
}

function fileAddress(file: Allocation): number {
  if (!(file instanceof FileMemory)) throw new ModuleError('invalid_argument', 'the file is not from Module.allocate()');
  return file.address;
}
function freeAll(runtime: Runtime, files: Allocation[]): void {
  if (!runtime.ended) for (const file of files) file.free();
  files.length = 0;
}
