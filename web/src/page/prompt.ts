// What a model is asked: tokens, a text, or messages, with pictures.
import {InvalidArgumentError} from '../errors.ts';
import type {ChatMessage as WireMessage} from '../module/types.ts';
import type {WirePrompt} from '../protocol.ts';
import {checkSignal, jsonOf, listOf, tokensOf} from './check.ts';
import type {Prepared} from './generation.ts';
import {toSendables, type ImageInput} from './images.ts';

/** Where a picture stands in a text. */
export const IMAGE_MARK = '<__media__>';

export interface TextPart {
  type: 'text';
  text: string;
}
export interface ImageUrlPart {
  type: 'image_url';
  image_url: {url: string} | string;
}
/** Beyond OpenAI's: a picture that is no URL. */
export interface ImagePart {
  type: 'image';
  image: ImageInput;
}
export type ContentPart = TextPart | ImageUrlPart | ImagePart;

export interface ChatMessage {
  /** 'developer' counts as 'system'. */
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content: string | readonly ContentPart[] | null;
  /** Further fields of the message go to the model's template. */
  [field: string]: unknown;
}

/** A text as it is (no template), with IMAGE_MARK where each picture stands; tokens; or messages through the template. */
export type PromptInput =
  | string
  | readonly number[] | Int32Array
  | {text: string; images?: readonly ImageInput[]; addSpecial?: boolean; parseSpecial?: boolean}
  | {messages: readonly ChatMessage[]; images?: readonly ImageInput[]; template?: Record<string, unknown>};

function readPart(part: ContentPart, path: string, images: ImageInput[]): string {
  if (part?.type === 'text' && typeof part.text === 'string') return part.text;
  if (part?.type === 'image_url' || part?.type === 'image') {
    const image = part.type === 'image' ? part.image : typeof part.image_url === 'string' ? part.image_url : part.image_url?.url;
    if (!image) throw new InvalidArgumentError(`${path}: no picture in it`);
    images.push(image);
    return IMAGE_MARK;
  }
  throw new InvalidArgumentError(`${path}: want {type: 'text', text}, {type: 'image_url', image_url: {url}} or {type: 'image', image}`);
}

function readMessage(message: ChatMessage, at: number, images: ImageInput[]): WireMessage {
  const path = `messages[${at}]`;
  const {role, content, ...extra} = message ?? {};
  if (typeof role !== 'string' || !role) throw new InvalidArgumentError(`${path}: it has no role`);
  let text = '';
  if (typeof content === 'string') {
    text = content;
  } else if (Array.isArray(content)) {
    const parts = content as readonly ContentPart[];
    text = parts.map((part, i) => readPart(part, `${path}.content[${i}]`, images)).join('');
  } else if (content !== null && content !== undefined) {
    throw new InvalidArgumentError(`${path}.content: a string or a list of parts`);
  }
  return {role: role === 'developer' ? 'system' : role, content: text, ...(Object.keys(extra).length > 0 ? {extra: jsonOf(path, extra)} : {})};
}

/** Messages as the model's template takes them: with IMAGE_MARK for each picture, whose pixels are left out. */
export function withoutPixels(messages: readonly ChatMessage[]): WireMessage[] {
  return chat({messages}).messages;
}

// A text that holds the mark itself would move the pictures elsewhere.
function checkMarks(texts: readonly string[], images: number): void {
  const marks = texts.reduce((sum, text) => sum + text.split(IMAGE_MARK).length - 1, 0);
  if (images > 0 && marks !== images && marks !== 0) {
    throw new InvalidArgumentError(`there are ${images} pictures and ${marks} times "${IMAGE_MARK}" in the texts`);
  }
}

function chat(input: {messages: readonly ChatMessage[]; images?: readonly ImageInput[]; template?: Record<string, unknown>}) {
  if (!Array.isArray(input.messages) || input.messages.length === 0) {
    throw new InvalidArgumentError('messages: a list of at least one {role, content}');
  }
  const inside: ImageInput[] = [];
  const messages = input.messages.map((message, i) => readMessage(message, i, inside));
  const beside = listOf('images', input.images);
  if (inside.length > 0 && beside.length > 0) {
    throw new InvalidArgumentError('pictures stand either in the messages or in `images`, not in both');
  }
  const images = [...inside, ...beside];
  checkMarks(messages.map(({content}) => content), images.length);
  return {messages, images, extra: jsonOf('template', input.template) ?? null};
}

const PROMPTS = 'a prompt is a string, a list of tokens, {text, images} or {messages, images}';

/** Throws at once what is wrong with the input; pictures take a moment. */
export function prepare(input: PromptInput, signal?: AbortSignal): Promise<Prepared> {
  const send = async (images: readonly ImageInput[], make: (images: Awaited<ReturnType<typeof toSendables>>['images']) => WirePrompt) => {
    const sendables = await toSendables(images, signal);
    return {prompt: make(sendables.images), transfer: sendables.transfer};
  };
  if (typeof input === 'string') input = {text: input};
  if (Array.isArray(input) || input instanceof Int32Array) {
    return Promise.resolve({prompt: {kind: 'tokens', tokens: tokensOf(input)}, transfer: []});
  }
  checkSignal(signal);
  if (typeof input !== 'object' || input === null) throw new InvalidArgumentError(PROMPTS);
  if ('messages' in input) {
    const {messages, images, extra} = chat(input);
    return send(images, (sent) => ({kind: 'chat', messages, images: sent, extra}));
  }
  if (!('text' in input) || typeof input.text !== 'string') {
    throw new InvalidArgumentError(PROMPTS);
  }
  const images = listOf('images', input.images);
  const {text, addSpecial = true, parseSpecial = false} = input;
  checkMarks([text], images.length);
  return send(images, (sent) => ({kind: 'text', text, images: sent, addSpecial, parseSpecial}));
}
