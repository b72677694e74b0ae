// One question and its answer, as elements. Whatever people or the model say goes in as text, never as markup.
import {isRight} from './questions.js';

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function duration(ms) {
  if (ms >= 10000) return (ms / 1000).toFixed(1) + ' s';
  if (ms >= 1000) return (ms / 1000).toFixed(2) + ' s';
  return ms >= 10 ? Math.round(ms) + ' ms' : ms.toFixed(1) + ' ms';
}

const PARTS = [['images', 'images_ms', 'seeing'], ['prefill', 'prompt_ms', 'reading'], ['decode', 'predicted_ms', 'writing']];

function fact(list, name, value, className) {
  const row = element('div');
  row.append(element('dt', className, name), element('dd', '', value));
  list.append(row);
}

// Where the time went, as a bar and in figures.
function times(usage, timings) {
  const box = element('div', 'times');
  const bar = element('div', 'times-bar');
  const facts = element('dl', 'facts');
  bar.setAttribute('aria-hidden', 'true');
  for (const [part, field, name] of PARTS) {
    const ms = timings[field] ?? 0;
    if (ms < 0.05) continue;
    const piece = element('i', part);
    piece.style.flexGrow = String(ms);
    bar.append(piece);
    fact(facts, name, duration(ms), part);
  }
  fact(facts, 'first word after', duration(timings.first_token_ms));
  if (usage.completion_tokens > 1) fact(facts, 'speed', `${Math.round(timings.predicted_per_second)} tokens/s`);
  fact(facts, 'tokens', `${usage.prompt_tokens} in, ${usage.completion_tokens} out`);
  box.append(bar, facts);
  return box;
}

export class Turn {
  constructor(thumbnail, question, expected) {
    this.expected = expected;
    this.item = element('li', 'turn writing');
    this.item.setAttribute('aria-busy', 'true');
    const body = element('div');
    const asked = element('p', 'question', question);
    asked.prepend(element('span', 'unseen', 'You asked: '));
    this.said = element('p', 'said');
    this.said.append(element('span', 'unseen', 'Answer: '));
    this.text = element('span', 'words');
    this.said.append(this.text);
    body.append(asked, this.said);
    this.body = body;
    this.item.append(thumbnail, body);
  }

  write(text) {
    // Tokenizers put the blank between words before each word, the first one too.
    this.text.append(this.text.textContent ? text : text.trimStart());
  }

  get words() {
    return this.text.textContent;
  }

  #close() {
    this.item.classList.remove('writing');
    this.item.setAttribute('aria-busy', 'false');
  }

  end(usage, timings) {
    this.#close();
    if (!this.words) this.text.append('(no words)');
    if (this.expected !== undefined) {
      const right = isRight(this.words, this.expected);
      this.said.append(element('span', `verdict ${right ? 'right' : 'wrong'}`, right ? '✓ right' : `✗ it is ${this.expected}`));
    }
    this.body.append(times(usage, timings));
  }

  stop(words) {
    this.#close();
    this.body.append(element('p', 'stopped', words));
  }
}
