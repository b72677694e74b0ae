// Sessions over mote.h.
import {ModuleError} from './errors.ts';
import {GrammarHandle, Handle, PromptHandle} from './handles.ts';
import type {Scope} from './memory.ts';
import type {LoadedModel} from './model.ts';
import type {Listener, Runtime} from './runtime.ts';
import type {GenerateOptions, GenerateResult, Prompt, Session} from './types.ts';

const kPooling = {model: 0, mean: 1, first: 2, last: 3} as const;

function passSampling(runtime: Runtime, scope: Scope, options: GenerateOptions): number {
  const biases = options.logitBias ?? [];
  const size = runtime.memory.sizeOf('mote_logit_bias');
  const first = scope.zeroed(Math.max(size * biases.length, 1));
  biases.forEach(([token, bias], i) => scope.fill('mote_logit_bias', first + i * size, {token, bias}));
  return scope.params('mote_sampling_params', {
    temperature: options.temperature,
    top_k: options.topK,
    top_p: options.topP,
    min_p: options.minP,
    repeat_penalty: options.repeatPenalty,
    presence_penalty: options.presencePenalty,
    frequency_penalty: options.frequencyPenalty,
    penalty_window: options.penaltyWindow,
    seed: options.seed,
    logit_bias: biases.length === 0 ? undefined : first,
    logit_bias_count: biases.length,
  });
}

function passGenerate(runtime: Runtime, scope: Scope, options: GenerateOptions, user: number): number {
  const {callbacks} = runtime, {grammar} = options;
  if (grammar !== undefined && !(grammar instanceof GrammarHandle)) {
    throw new ModuleError('invalid_argument', 'the grammar is not from Model.grammarFrom...()');
  }
  const stop = (options.stop ?? []).map((text) => scope.string(text));
  return scope.params('mote_generate_params', {
    sampling: passSampling(runtime, scope, options),
    max_tokens: options.maxTokens,
    ignore_eos: options.ignoreEos === true ? 1 : 0,
    stop: stop.length === 0 ? undefined : scope.pointers(stop),
    stop_count: stop.length,
    on_text: options.onText === undefined ? undefined : callbacks.text,
    on_progress: options.onProgress === undefined ? undefined : callbacks.progress,
    user,
    top_logprobs: options.topLogprobs,
    on_token: options.onToken === undefined ? undefined : callbacks.token,
    grammar: grammar?.address,
    grammar_trigger: scope.string(options.grammarTrigger),
  });
}

function listenerOf(options: GenerateOptions): Listener {
  return {
    ...(options.onText && {text: options.onText}),
    ...(options.onToken && {token: options.onToken}),
    ...(options.onProgress && {progress: options.onProgress}),
  };
}

class SessionHandle extends Handle implements Session {
  readonly context: number;
  readonly cacheBytes: number;
  readonly cancelFlag: number;
  readonly #model: LoadedModel;
  #started = 0;  // the listener of what was started last

  constructor(model: LoadedModel, address: number) {
    super(model.runtime, 'session', address, model.children, (session) => {
      this.runtime.unlisten(this.#started);
      this.runtime.call(null, 'mote_session_free', session);
    });
    this.#model = model;
    this.context = this.runtime.call(null, 'mote_session_context', address) >>> 0;
    this.cacheBytes = Number(this.runtime.call(null, 'mote_session_cache_size', address));
    this.cancelFlag = this.runtime.call(null, 'mote_web_cancel_flag', address) >>> 0;
  }

  get tokens(): Int32Array {
    return this.runtime.scoped((scope) => {
      const count = scope.zeroed(4);
      const first = this.runtime.call(scope, 'mote_session_tokens', this.address, count) >>> 0;
      return this.runtime.memory.copyInt32(first, this.runtime.memory.pointer(count));
    });
  }
  logits(): Float32Array | null {
    const first = this.runtime.call(null, 'mote_session_logits', this.address) >>> 0;
    return first === 0 ? null : this.runtime.memory.copyFloat32(first, this.#model.info.vocabSize);
  }
  truncate(length: number): void {
    this.runtime.call(null, 'mote_session_truncate', this.address, length);
  }
  keepPrefix(prompt: Prompt | ArrayLike<number>): number {
    return this.runtime.scoped((scope) => {
      if (prompt instanceof PromptHandle) {
        return this.runtime.call(scope, 'mote_session_keep_prompt', this.address, prompt.address) >>> 0;
      }
      const tokens = prompt as ArrayLike<number>;
      const first = scope.int32(tokens);
      return this.runtime.call(scope, 'mote_session_keep_prefix', this.address, first, tokens.length) >>> 0;
    });
  }
  copyPrefix(source: Session, length: number): number {
    if (!(source instanceof SessionHandle)) throw new ModuleError('invalid_argument', 'the source is no session');
    return this.runtime.call(null, 'mote_session_copy_prefix', this.address, source.address, length, 0) >>> 0;
  }

  eval(tokens: ArrayLike<number>,
       options: {onLogits?: Listener['logits'], onProgress?: Listener['progress']} = {}): void {
    this.#evaluate(options, (scope, params) => {
      this.runtime.request(scope, 'mote_session_eval', this.address, scope.int32(tokens), tokens.length, params);
    });
  }
  evalPrompt(prompt: Prompt, from = 0, options: {onProgress?: Listener['progress']} = {}): void {
    this.#evaluate(options, (scope, params) => {
      this.runtime.request(scope, 'mote_session_eval_prompt', this.address, promptAddress(prompt), from, params);
    });
  }

  generate(prompt: Prompt | ArrayLike<number>, options: GenerateOptions = {}): GenerateResult {
    const {runtime} = this;
    const user = runtime.listen(listenerOf(options));
    try {
      return runtime.scoped((scope) => {
        const params = passGenerate(runtime, scope, options, user);
        const result = scope.result('mote_generate_result');
        if (prompt instanceof PromptHandle) {
          runtime.request(scope, 'mote_session_generate_prompt', this.address, prompt.address, params, result);
        } else {
          const tokens = prompt as ArrayLike<number>;
          const first = scope.int32(tokens);
          runtime.request(scope, 'mote_session_generate', this.address, first, tokens.length, params, result);
        }
        return runtime.readResult(result);
      });
    } finally {
      runtime.unlisten(user);
    }
  }

  start(prompt: Prompt | ArrayLike<number>, options: GenerateOptions,
        done: (result: GenerateResult | null, error: Error | null) => void): void {
    const {runtime} = this;
    this.#withPrompt(prompt, (address) => {
      const user = runtime.listen({...listenerOf(options), done});
      try {
        runtime.scoped((scope) => {
          const params = passGenerate(runtime, scope, options, user);
          runtime.request(scope, 'mote_session_start', this.address, address, params, runtime.callbacks.done, user);
          this.#started = user;
        });
      } catch (error) {
        runtime.unlisten(user);
        throw error;
      }
    });
  }

  embed(prompt: Prompt | ArrayLike<number>, options: {pooling?: keyof typeof kPooling, normalize?: boolean} = {}):
      Float32Array {
    const {runtime} = this;
    return this.#withPrompt(prompt, (address) => runtime.scoped((scope) => {
      const params = scope.params('mote_embed_params', {
        pooling: kPooling[options.pooling ?? 'model'],
        no_normalize: options.normalize === false ? 1 : 0,
      });
      const values = runtime.fill(scope, 4, 'mote_session_embed', this.address, address, params);
      return runtime.memory.copyFloat32(values.address, values.count);
    }));
  }

  cancel(): void {
    this.runtime.call(null, 'mote_session_cancel', this.address);
  }
  clearCancel(): void {
    this.runtime.call(null, 'mote_session_clear_cancel', this.address);
  }

  #evaluate(options: {onLogits?: Listener['logits'], onProgress?: Listener['progress']},
            act: (scope: Scope, params: number) => void): void {
    const {runtime} = this;
    const user = runtime.listen({
      vocabSize: this.#model.info.vocabSize,
      ...(options.onLogits && {logits: options.onLogits}),
      ...(options.onProgress && {progress: options.onProgress}),
    });
    try {
      runtime.scoped((scope) => act(scope, scope.params('mote_eval_params', {
        on_logits: options.onLogits === undefined ? undefined : runtime.callbacks.logits,
        on_progress: options.onProgress === undefined ? undefined : runtime.callbacks.progress,
        user,
      })));
    } finally {
      runtime.unlisten(user);
    }
  }
  #withPrompt<T>(prompt: Prompt | ArrayLike<number>, act: (address: number) => T): T {
    if (prompt instanceof PromptHandle) return act(prompt.address);
    const own = this.#model.promptFromTokens(prompt as ArrayLike<number>);
    try {
      return act(own.address);
    } finally {
      own.free();
    }
  }
}

function promptAddress(prompt: Prompt): number {
  if (!(prompt instanceof PromptHandle)) throw new ModuleError('invalid_argument', 'the prompt is not from Model.prompt...()');
  return prompt.address;
}

// context: tokens; 0: the model's.
export function makeSession(model: LoadedModel, context: number): Session {
  return model.runtime.scoped((scope) => {
    const place = scope.zeroed(4);
    model.runtime.request(scope, 'mote_session_create', model.address, context, place);
    return new SessionHandle(model, model.runtime.memory.pointer(place));
  });
}
