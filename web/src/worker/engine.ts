// What the worker does for the page: one method of the protocol each.
import type {LoadPhase, LogFunction} from '../cache/progress.ts';
import {Store} from '../cache/store.ts';
import {DisposedError, InvalidArgumentError, MoteError, UnsupportedError, throwIfAborted} from '../errors.ts';
import {createModule} from '../module/index.ts';
import type {Allocation, ChatOptions, GenerateOptions, Model, Module, Pixels, Prompt, Session} from '../module/types.ts';
import type {Event, Generated, Loaded, Methods, MemoryUse, WireGenerate, WireLoad, WirePrompt} from '../protocol.ts';
import {translate} from './errors.ts';
import {closeImage, readPixels} from './pixels.ts';
import {Sessions, checkFits, nextTurn} from './sessions.ts';
import type {StopperStart} from './stopper.ts';
import {MemorySink, forgetCopies, nameOf, readParts, readSource, together, type OptionsOf} from './sources.ts';

/** What differs between a browser's worker and Node's. */
export interface Surroundings {
  openPath(path: string): Promise<Blob>;
  /** Starts a thread that runs runStopper, and gives it the port. */
  startStopper(start: StopperStart): void;
}

export interface Call {
  id: number;
  signal: AbortSignal;
  tell(event: Event): void;
  pull(feed: number): Promise<Uint8Array | null>;
}

type Handlers = {[M in keyof Methods]: (args: Methods[M][0], call: Call) => Promise<Methods[M][1]> | Methods[M][1]};

export class Engine {
  readonly #around: Surroundings;
  readonly #log: LogFunction;
  #module: Module | null = null;
  #model: Model | null = null;
  #sessions: Sessions | null = null;
  #batch = 1;
  // The request that computes and may be stopped through its session's flag.
  #active: Int32Array | null = null;

  constructor(around: Surroundings, log: LogFunction) {
    this.#around = around;
    this.#log = log;
  }

  get #ready(): {module: Module; model: Model; sessions: Sessions} {
    if (!this.#module || !this.#model || !this.#sessions) throw new DisposedError('there is no model loaded');
    return {module: this.#module, model: this.#model, sessions: this.#sessions};
  }

  // ---- Loading -------------------------------------------------------------------------------------------------------

  async #load(args: WireLoad, call: Call): Promise<Loaded> {
    if (this.#module) throw new InvalidArgumentError('this worker has a model already');
    const begin = performance.now();
    let moduleMs = 0;
    const starting = createModule({
      threads: args.threads, variant: args.variant, wasm: args.wasm, signal: call.signal, log: this.#log,
      ...(args.maxMemory ? {maxMemory: args.maxMemory} : {}),
    }).then((module) => {
      moduleMs = performance.now() - begin;
      this.#module = module;
      return module;
    });
    // Whoever waits for it hears of its failure; until then it is nobody's.
    starting.catch(() => {});
    this.#batch = args.maxBatch;
    const {file, vision} = await this.#readAll(args, starting, call);
    const module = await starting;
    const readMs = performance.now() - begin;
    const modelBytes = file.size;
    const model = await this.#prepare(module, file, vision, args, call);
    this.#model = model;
    this.#sessions = new Sessions(model);
    const end = performance.now();
    return {
      version: module.version, model: model.info, vision: model.vision, variant: module.variant, threads: module.threads,
      threadsReason: module.threadsReason, modelBytes,
      timings: {module_ms: moduleMs, read_ms: readMs, prepare_ms: end - begin - readMs, total_ms: end - begin},
      stop: this.#startStopper(module),
    };
  }

  // All files at once: one connection rarely fills the line, and small ones need not wait for large ones.
  async #readAll(args: WireLoad, starting: Promise<Module>, call: Call): Promise<{file: Allocation; vision: Allocation | null}> {
    const {parts, mmproj} = args;
    const sources = [...parts, ...(mmproj ? [mmproj] : [])];
    const store = sources.some(({kind}) => kind === 'url') && args.cache !== 'no-store' ? await Store.open() : null;
    const optionsOf: OptionsOf = (file, signal) => ({
      cache: args.cache, store, signal, log: this.#log, pull: call.pull, openPath: this.#around.openPath,
      onProgress: (phase: LoadPhase, loaded: number, total: number) => call.tell({
        type: 'load', progress: {phase, loaded, total, file, files: sources.length, name: nameOf(sources[file]!)},
      }),
    });
    const read: Allocation[] = [];
    const keep = (file: Allocation) => {
      read.push(file);
      return file;
    };
    const one = (file: number) => async (signal: AbortSignal) => {
      const sink = new MemorySink(starting);
      try {
        await readSource(sources[file]!, sink, optionsOf(file, signal));
        return keep(await sink.take());
      } catch (error) {
        sink.free();
        throw error;
      }
    };
    const model = async (signal: AbortSignal) => keep(await readParts(parts, starting, signal, optionsOf));
    try {
      const [file, vision = null] = await together(call.signal, [
        parts.length > 1 ? model : one(0), ...(mmproj ? [one(parts.length)] : []),
      ]);
      return {file: file!, vision};
    } catch (error) {
      for (const file of read) file.free();
      throw error;
    }
  }

  async #prepare(module: Module, file: Allocation, vision: Allocation | null, args: WireLoad, call: Call): Promise<Model> {
    const files = args.parts.length + (vision ? 1 : 0);
    const onProgress = (which: number) => (loaded: number, total: number) => call.tell({
      type: 'load', progress: {phase: 'prepare', loaded, total, file: which, files, name: ''},
    });
    let broken = args.parts;
    try {
      const model = module.loadModel(file, {
        context: args.context, maxBatch: args.maxBatch, cacheType: args.cacheType, vocabOnly: args.vocabOnly,
        onProgress: onProgress(0),
      });
      broken = args.mmproj ? [args.mmproj] : [];
      if (vision) model.loadVision(vision, {onProgress: onProgress(files - 1)});
      return model;
    } catch (error) {
      // Whole as the server sent it, and yet no model: a copy would be read, and refused, for ever.
      if (codeOf(error) === 'malformed' && args.cache !== 'no-store') await forgetCopies(broken, await Store.open(), this.#log);
      throw error;
    }
  }

  // What takes requests to stop while this thread computes; only shared memory can be reached from another one.
  #startStopper(module: Module): MessagePort | null {
    if (!module.shared) return null;
    const active = new SharedArrayBuffer(4);
    const {port1, port2} = new MessageChannel();
    this.#active = new Int32Array(active);
    this.#around.startStopper({stopper: true, memory: module.memory, active, port: port2});
    return port1;
  }

  // ---- Prompts and answers -------------------------------------------------------------------------------------------

  async #withPrompt<T>(wire: WirePrompt, session: Session, call: Call, body: (prompt: Prompt) => Promise<T> | T): Promise<T> {
    const prompt = await this.#prompt(wire, session, call);
    try {
      return await body(prompt);
    } finally {
      prompt.free();
    }
  }

  async #prompt(wire: WirePrompt, session: Session, call: Call): Promise<Prompt> {
    const {model} = this.#ready;
    if (wire.kind === 'tokens') return model.promptFromTokens(wire.tokens);
    if (wire.images.length > 0 && !model.vision) {
      wire.images.forEach(closeImage);
      throw new UnsupportedError('this model was loaded without a vision file and reads no pictures: give Mote.load its `mmproj`');
    }
    const images: Pixels[] = [];
    for (const image of wire.images) images.push(await readPixels(image));
    const options = {
      session,
      onProgress: (done: number, total: number) => {
        call.tell({type: 'images', done, total});
        return call.signal.aborted;
      },
    };
    if (wire.kind === 'text') {
      const {addSpecial, parseSpecial} = wire;
      return model.promptFromText(wire.text, images, {...options, addSpecial, parseSpecial});
    }
    const chat: ChatOptions = wire.extra ? {extra: wire.extra} : {};
    return model.promptFromChat(wire.messages, images, {...options, ...chat});
  }

  // While `body` runs, the session's flag may be set on behalf of this request and of no other; then of the one before.
  async #stoppable<T>(call: Call, session: Session, body: () => Promise<T>): Promise<T> {
    session.clearCancel();
    const active = this.#active;
    const before = active ? Atomics.exchange(active, 0, call.id) : 0;
    try {
      return await body();
    } finally {
      if (active) Atomics.compareExchange(active, 0, call.id, before);
    }
  }

  // With a session that is made for this request alone.
  async #alone<T>(wire: WirePrompt, call: Call, body: (session: Session, prompt: Prompt) => Promise<T> | T): Promise<T> {
    const {sessions} = this.#ready;
    const {id, session} = sessions.create(0);
    call.tell({type: 'flag', cancelFlag: session.cancelFlag});
    try {
      return await this.#stoppable(call, session, async () => {
        // A request to stop that came before the flag could be set would not be seen in the midst of what follows.
        await nextTurn();
        throwIfAborted(call.signal, 'computing');
        return this.#withPrompt(wire, session, call, (prompt) => body(session, prompt));
      });
    } finally {
      await sessions.free(id);
    }
  }

  // The prompt after what the session holds. Tokens go in batches, between which this thread looks at its messages: so a
  // request to stop is heard where no memory is shared.
  async #evaluate(session: Session, prompt: Prompt, from: number, call: Call, onLogits?: (index: number, logits: Float32Array) => void): Promise<void> {
    const {tokens, info} = prompt;
    const before = session.tokens.length;
    const count = tokens.length - from;
    const onProgress = (done: number, total: number) => call.tell({type: 'prefill', done, total});
    // What does not fit is refused as a whole, before anything is computed.
    if (info.images > 0 || count < 1 || before + count > session.context) return session.evalPrompt(prompt, from, {onProgress});
    for (let at = from; at < tokens.length; at += this.#batch) {
      if (at > from) {
        await nextTurn();
        throwIfAborted(call.signal, 'computing');
      }
      session.eval(tokens.subarray(at, at + this.#batch), {
        onProgress: (done) => onProgress(at - from + done, count),
        ...(onLogits ? {onLogits: (index: number, logits: Float32Array) => {
          onLogits(at + index, logits);
          return call.signal.aborted;
        }} : {}),
      });
    }
  }

  #generate(args: Methods['generate'][0], call: Call): Promise<Generated> {
    const {sessions} = this.#ready;
    const asked = performance.now();
    return sessions.exclusive(args.session, call.signal, (session) => this.#stoppable(call, session, async () => {
      const begin = performance.now();
      const grammar = sessions.grammar(args.options.grammar);
      try {
        return await this.#withPrompt(args.prompt, session, call, async (prompt) => {
          checkFits(prompt, session);
          const seen = performance.now();
          let first = 0;
          const options: GenerateOptions = {
            ...samplingOf(args.options), ...(grammar ? {grammar} : {}),
            onProgress: (done, total) => call.tell({type: 'prefill', done, total}),
            onText: (text, token) => {
              call.tell({type: 'text', text, token});
              return call.signal.aborted;
            },
            onToken: (info) => {
              first ||= performance.now();
              if (args.options.topLogprobs >= 0) call.tell({type: 'token', info});
              return call.signal.aborted;
            },
          };
          const result = await sessions.generate(session, prompt, options, call.signal);
          const end = performance.now();
          return {
            text: result.text, tokens: result.tokens, finishReason: result.finishReason, promptTokens: result.promptTokens,
            cachedTokens: result.cachedTokens, imageTokens: prompt.info.imageRows,
            timings: timingsOf(result, {asked, begin, seen, first: first || end, end}),
          };
        });
      } finally {
        grammar?.free();
      }
    }));
  }

  #embed({prompt: wire, pooling, normalize}: Methods['embed'][0], call: Call): Promise<Float32Array> {
    return this.#alone(wire, call, (session, prompt) => session.embed(prompt, {pooling, normalize}));
  }

  // (vocabulary) of the last token, or (tokens, vocabulary) of all: those of images' rows are zeros.
  #logits(args: Methods['logits'][0], call: Call): Promise<Float32Array> {
    return this.#alone(args.prompt, call, async (session, prompt) => {
      if (!args.all) {
        await this.#evaluate(session, prompt, 0, call);
        return session.logits()!;
      }
      if (prompt.info.images > 0) throw new UnsupportedError('logits of all tokens: of prompts without pictures only');
      const {vocabSize} = this.#ready.model.info;
      const all = new Float32Array(prompt.tokens.length * vocabSize);
      await this.#evaluate(session, prompt, 0, call, (index, logits) => all.set(logits, index * vocabSize));
      return all;
    });
  }

  #memory(): MemoryUse {
    const {module, sessions} = this.#ready;
    return {moduleBytes: module.memoryBytes, ...sessions.use};
  }

  readonly handlers: Handlers = {
    load: (args, call) => this.#load(args, call),
    tokenize: (args) => this.#ready.model.tokenize(args.text, args),
    detokenize: ({tokens, showSpecial}) => new TextDecoder().decode(this.#ready.model.detokenize(tokens, {showSpecial})),
    renderChat: ({messages, extra}) => this.#ready.model.renderChat(messages, extra ? {extra} : {}),
    embed: (args, call) => this.#embed(args, call),
    logits: (args, call) => this.#logits(args, call),
    createSession: ({context}) => {
      const {id, session} = this.#ready.sessions.create(context);
      return {session: id, context: session.context, cacheBytes: session.cacheBytes, cancelFlag: session.cancelFlag};
    },
    chatSession: () => ({cancelFlag: this.#ready.sessions.get(0).cancelFlag}),
    freeSession: async ({session}) => {
      await this.#ready.sessions.free(session);
      return null;
    },
    eval: (args, call) => this.#ready.sessions.exclusive(args.session, call.signal, (session) =>
      this.#stoppable(call, session, () => this.#withPrompt(args.prompt, session, call, async (prompt) => {
        await this.#evaluate(session, prompt, args.from, call);
        return {tokens: session.tokens.length};
      }))),
    sessionLogits: ({session}, {signal}) => this.#ready.sessions.exclusive(session, signal, (one) => one.logits()),
    sessionTokens: ({session}, {signal}) => this.#ready.sessions.exclusive(session, signal, (one) => one.tokens),
    truncate: ({session, length}, {signal}) => this.#ready.sessions.exclusive(session, signal, (one) => {
      one.truncate(length);
      return null;
    }),
    keepPrefix: ({session, tokens}, {signal}) => this.#ready.sessions.exclusive(session, signal,
                                                                                (one) => one.keepPrefix(tokens)),
    generate: (args, call) => this.#generate(args, call),
    memory: () => this.#memory(),
    close: () => {
      this.#module?.dispose();
      this.#module = this.#model = this.#sessions = this.#active = null;
      return null;
    },
  };

  /** Any method; errors come as the package's. */
  async call(method: keyof Methods, args: never, call: Call): Promise<unknown> {
    try {
      return await this.handlers[method](args, call);
    } catch (error) {
      throw translate(error);
    }
  }
}

function codeOf(error: unknown): string {
  const ours = translate(error);
  return ours instanceof MoteError ? ours.code : '';
}

function samplingOf(options: WireGenerate): GenerateOptions {
  const {grammar: _, ...rest} = options;
  return rest;
}

interface Moments {
  asked: number;
  begin: number;
  seen: number;
  first: number;
  end: number;
}

function timingsOf(result: {promptTokens: number; cachedTokens: number; tokens: Int32Array; prefillSeconds: number;
                            decodeSeconds: number}, at: Moments): Generated['timings'] {
  const computed = result.promptTokens - result.cachedTokens;
  const perSecond = (count: number, seconds: number) => seconds > 0 ? count / seconds : 0;
  return {
    queued_ms: at.begin - at.asked, images_ms: at.seen - at.begin,
    prompt_n: computed, prompt_ms: result.prefillSeconds * 1000,
    prompt_per_second: perSecond(computed, result.prefillSeconds),
    predicted_n: result.tokens.length, predicted_ms: result.decodeSeconds * 1000,
    predicted_per_second: perSecond(result.tokens.length, result.decodeSeconds),
    first_token_ms: at.first - at.asked, total_ms: at.end - at.asked,
  };
}
