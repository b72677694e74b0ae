// What both entries export, beside their Mote.
export type {CacheMode, LoadPhase, LoadProgress, LogFunction, LogLevel} from './cache/progress.ts';
export type {CachedFile} from './cache/store.ts';
export {
  AbortedError, ContextFullError, CorruptedError, CspError, DisposedError, InternalError, InvalidArgumentError, MalformedError,
  ModuleError, MoteError, NetworkError, NotFoundError, OutOfMemoryError, QuotaError, UnsupportedError,
} from './errors.ts';
export type {ErrorDetails, MoteErrorCode} from './errors.ts';
export type {ModelInfo, TokenInfo, Variant, VisionInfo} from './module/types.ts';
export type {ChatChunk, ChatCompletion, ChatParams, Completions, ResponseFormat, TokenLogprob, Usage} from './page/chat.ts';
export type {GenerateOptions, GenerateResult, Generation, PromptProgress, TextPiece} from './page/generation.ts';
export type {ImageInput, PixelSource} from './page/images.ts';
export type {ModelCache} from './page/model_cache.ts';
export type {EmbedOptions, LoadOptions, MoteInfo, TokenizeOptions} from './page/mote.ts';
export {IMAGE_MARK} from './page/prompt.ts';
export type {ChatMessage, ContentPart, ImagePart, ImageUrlPart, PromptInput, TextPart} from './page/prompt.ts';
export type {EvalOptions, Session} from './page/session.ts';
export type {FileSource, ModelFiles, ModelSource, StreamSource, UrlSource} from './page/sources.ts';
export type {LoadTimings, MemoryUse, Timings} from './protocol.ts';
