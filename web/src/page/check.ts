// Arguments that are not what the types say: callers without types get an error in words, and as the package's own.
import {InvalidArgumentError} from '../errors.ts';

/** A value for a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (value === null || typeof value !== 'object') return String(value);
  return Array.isArray(value) ? 'a list' : `a ${value.constructor?.name || 'thing'}`;
}

export function oneOf<T extends string>(name: string, value: T | undefined, all: readonly T[], otherwise: T): T {
  if (value === undefined) return otherwise;
  if (all.includes(value)) return value;
  throw new InvalidArgumentError(`${name} must be one of ${all.map(shown).join(', ')}, not ${shown(value)}`);
}

export function wholeNumber(name: string, value: number | undefined, low: number, high: number, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new InvalidArgumentError(`${name} must be a whole number from ${low} to ${high}, not ${shown(value)}`);
}

export function textOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new InvalidArgumentError(`${name} must be a string, not ${shown(value)}`);
}

export function objectOf<T>(name: string, value: T): T {
  if (typeof value === 'object' && value !== null) return value;
  throw new InvalidArgumentError(`${name} must be an object, not ${shown(value)}`);
}

/** Null and undefined: none. */
export function listOf<T>(name: string, value: readonly T[] | null | undefined): readonly T[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value as readonly T[];
  throw new InvalidArgumentError(`${name} must be a list, not ${shown(value)}`);
}

/** What goes on as JSON: nothing that holds itself, no BigInt. */
export function jsonOf<T>(name: string, value: T): T {
  try {
    JSON.stringify(value);
    return value;
  } catch (error) {
    throw new InvalidArgumentError(`${name}: it cannot be written as JSON (${error instanceof Error ? error.message : error})`, {}, error);
  }
}

export function tokensOf(value: unknown): Int32Array {
  if (value instanceof Int32Array) return Int32Array.from(value);
  if (Array.isArray(value) && value.every((token) => Number.isInteger(token) && Math.abs(token) < 2 ** 31)) {
    return Int32Array.from(value as number[]);
  }
  throw new InvalidArgumentError(`tokens: a list of whole numbers, or an Int32Array, not ${shown(value)}`);
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal === null) return;
  // Not by its class: one of a frame has another.
  if (typeof (signal as AbortSignal).aborted === 'boolean' && typeof (signal as AbortSignal).addEventListener === 'function') return;
  throw new InvalidArgumentError(`signal must be an AbortSignal, not ${shown(signal)}`);
}
