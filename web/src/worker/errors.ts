// The module's errors as the package's.
import {MoteError, makeError, type MoteErrorCode} from '../errors.ts';
import {ModuleError} from '../module/errors.ts';
import type {StatusName} from '../module/types.ts';

const CODES: Record<StatusName, MoteErrorCode> = {
  invalid_argument: 'invalid-argument', malformed: 'malformed', unsupported: 'unsupported', not_found: 'not-found',
  out_of_memory: 'out-of-memory', context_full: 'context-full', cancelled: 'aborted', io: 'internal',
  internal: 'internal', no_simd: 'unsupported', no_module: 'module', crashed: 'internal', disposed: 'disposed',
};

// What engines say where a policy forbids to compile.
const POLICY = /unsafe-eval|Content.Security.Policy|\bCSP\b|call to WebAssembly\S* blocked/i;

function says(error: unknown, pattern: RegExp): boolean {
  for (let one = error; one instanceof Error; one = one.cause) if (pattern.test(one.message)) return true;
  return false;
}

export function translate(error: unknown): unknown {
  if (error instanceof MoteError || !(error instanceof ModuleError)) return error;
  if (error.status === 'no_module' && says(error, POLICY)) {
    return makeError('csp-blocked', `${error.message}. The Content-Security-Policy of the worker's script (and of the page) ` +
      `must have script-src 'wasm-unsafe-eval'`, {directive: 'script-src'}, error);
  }
  return makeError(CODES[error.status], error.message, {}, error);
}
