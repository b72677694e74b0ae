// What can go wrong, as classes with stable codes. A message says what was wrong and what would be right.

export type MoteErrorCode =
  | 'aborted'           // an AbortSignal, or the Mote was disposed meanwhile
  | 'context-full'      // more tokens than the session's context holds
  | 'corrupted'         // bytes are not those that their SHA-256 promises
  | 'csp-blocked'       // a Content-Security-Policy forbids WebAssembly or the worker
  | 'disposed'          // used after dispose()
  | 'internal'          // a bug in mote: please report it
  | 'invalid-argument'  // an argument is outside its stated range
  | 'malformed'         // a file or a request breaks its format
  | 'module'            // the WebAssembly module, or the worker around it, cannot be fetched or started
  | 'network'           // a server could not be reached, refused, or stopped in the middle
  | 'not-found'         // no such file, token or session
  | 'out-of-memory'     // the model does not fit into the memory that a page can have
  | 'quota'             // the browser's storage has no room for the download
  | 'unsupported';      // well-formed, but of a kind that mote or this browser does not run

export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

export class MoteError extends Error {
  readonly code: MoteErrorCode;
  // Figures of the message, for programs: `status` and `url` of 'network', `needed` and `free` (bytes) of 'quota'.
  readonly details: ErrorDetails;

  constructor(code: MoteErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : {cause});
    this.name = new.target.name;
    this.code = code;
    this.details = details;
  }
}

type Arguments = [message: string, details?: ErrorDetails, cause?: unknown];

export class AbortedError extends MoteError {
  constructor(...rest: Arguments) {
    super('aborted', ...rest);
    // What fetch and the platform's own calls say, so that one check serves all of them.
    this.name = 'AbortError';
  }
}
export class ContextFullError extends MoteError {
  constructor(...rest: Arguments) { super('context-full', ...rest); }
}
export class CorruptedError extends MoteError {
  constructor(...rest: Arguments) { super('corrupted', ...rest); }
}
export class CspError extends MoteError {
  constructor(...rest: Arguments) { super('csp-blocked', ...rest); }
}
export class DisposedError extends MoteError {
  constructor(...rest: Arguments) { super('disposed', ...rest); }
}
export class InternalError extends MoteError {
  constructor(...rest: Arguments) { super('internal', ...rest); }
}
export class InvalidArgumentError extends MoteError {
  constructor(...rest: Arguments) { super('invalid-argument', ...rest); }
}
export class MalformedError extends MoteError {
  constructor(...rest: Arguments) { super('malformed', ...rest); }
}
export class ModuleError extends MoteError {
  constructor(...rest: Arguments) { super('module', ...rest); }
}
export class NetworkError extends MoteError {
  constructor(...rest: Arguments) { super('network', ...rest); }
}
export class NotFoundError extends MoteError {
  constructor(...rest: Arguments) { super('not-found', ...rest); }
}
export class OutOfMemoryError extends MoteError {
  constructor(...rest: Arguments) { super('out-of-memory', ...rest); }
}
export class QuotaError extends MoteError {
  constructor(...rest: Arguments) { super('quota', ...rest); }
}
export class UnsupportedError extends MoteError {
  constructor(...rest: Arguments) { super('unsupported', ...rest); }
}

const CLASSES: Record<MoteErrorCode, new (...rest: Arguments) => MoteError> = {
  'aborted': AbortedError, 'context-full': ContextFullError, 'corrupted': CorruptedError, 'csp-blocked': CspError,
  'disposed': DisposedError, 'internal': InternalError, 'invalid-argument': InvalidArgumentError,
  'malformed': MalformedError, 'module': ModuleError, 'network': NetworkError, 'not-found': NotFoundError,
  'out-of-memory': OutOfMemoryError, 'quota': QuotaError, 'unsupported': UnsupportedError,
};

/** The error of a code, as its class. */
export function makeError(code: MoteErrorCode, message: string, details?: ErrorDetails, cause?: unknown): MoteError {
  return new CLASSES[code](message, details, cause);
}

/** An error as it crosses to another thread, where classes are lost. */
export interface ErrorRecord {
  code: MoteErrorCode;
  message: string;
  details: ErrorDetails;
}

export function toRecord(error: unknown): ErrorRecord {
  if (error instanceof MoteError) return {code: error.code, message: error.message, details: error.details};
  if (error instanceof RangeError && /memory|allocation/i.test(error.message)) {
    return {code: 'out-of-memory', message: `${error.message}; a smaller model, or a smaller context, needs less`, details: {}};
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {code: 'internal', message, details: {}};
}

export function fromRecord(record: ErrorRecord): MoteError {
  return makeError(record.code, record.message, record.details);
}

/** Throws where a signal has been given. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new AbortedError(`${what}: stopped by the caller's AbortSignal`, {}, signal.reason);
}
