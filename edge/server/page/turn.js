// One question and its answer, as elements. Whatever comes from people or models goes in as text, never as markup.

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function asked(text, picture) {
  const item = element('li', 'turn asked');
  if (picture) {
    const image = element('img');
    image.src = picture.url;
    image.width = picture.width;
    image.height = picture.height;
    image.alt = 'Picture: ' + picture.name;
    item.append(image);
  }
  const words = element('p', '', text);
  words.prepend(element('span', 'unseen', 'You asked: '));
  item.append(words);
  return item;
}

function duration(ms) {
  if (ms >= 10000) return (ms / 1000).toFixed(1) + ' s';
  if (ms >= 1000) return (ms / 1000).toFixed(2) + ' s';
  return ms >= 10 ? Math.round(ms) + ' ms' : ms.toFixed(1) + ' ms';
}

const PARTS = [['queued', 'queued_ms', 'waiting'], ['images', 'images_ms', 'seeing'], ['prefill', 'prompt_ms', 'reading'],
               ['decode', 'predicted_ms', 'writing']];

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
  if (timings.cache === 'hit' || timings.cache === 'joined') {
    fact(facts, 'answered from the cache in', duration(timings.total_ms ?? 0));
    box.append(facts);
    return box;
  }
  for (const [part, field, name] of PARTS) {
    const ms = timings[field] ?? 0;
    if (ms < 0.05) continue;
    const piece = element('i', part);
    piece.style.flexGrow = String(ms);
    bar.append(piece);
    fact(facts, name, duration(ms), part);
  }
  if (timings.first_token_ms > 0) fact(facts, 'first word after', duration(timings.first_token_ms));
  const speed = timings.predicted_per_second ?? 0;
  if (speed > 0 && usage.completion_tokens > 1) fact(facts, 'speed', Math.round(speed) + ' tokens/s');
  fact(facts, 'tokens', `${usage.prompt_tokens ?? 0} in, ${usage.completion_tokens ?? 0} out`);
  const known = usage.prompt_tokens_details?.cached_tokens ?? 0;
  if (known > 0) fact(facts, 'known from before', String(known));
  box.append(bar, facts);
  return box;
}

const FINISHES = {length: 'The answer ended at its length limit.', content_filter: 'The answer was cut off.'};

export class Answer {
  constructor() {
    this.item = element('li', 'turn answer');
    this.item.setAttribute('aria-busy', 'true');
    this.stage = element('p', 'stage', 'Sending');
    this.bar = element('div', 'stage-bar');
    this.fill = element('i');
    this.bar.append(this.fill);
    this.bar.hidden = true;
    this.text = element('p', 'answer-text');
    this.item.append(element('span', 'unseen', 'Answer: '), this.stage, this.bar, this.text);
  }

  show(words, fraction) {
    this.stage.textContent = words;
    this.bar.hidden = fraction === undefined;
    if (fraction !== undefined) this.fill.style.transform = `scaleX(${Math.min(1, Math.max(0, fraction))})`;
  }

  take(event) {
    if (event.event === 'queued') this.show('Waiting for a free place');
    if (event.event === 'image_decoded') this.show('Looking at the picture');
    if (event.event === 'image_encoded') this.show('Reading');
    if (event.event === 'prefill') this.show(`Reading, ${Math.round(event.percent)} %`, event.percent / 100);
    if (event.event === 'first_token') this.show('');
    if (event.event === 'delta') this.write(event.text);
    if (event.event === 'done') this.end(event);
  }

  write(text) {
    this.stage.hidden = this.bar.hidden = true;
    this.item.classList.add('writing');
    // Tokenizers put the blank between words before each word, the first one too.
    const added = this.text.textContent ? text : text.trimStart();
    this.text.append(added);
  }

  close() {
    this.item.classList.remove('writing');
    this.item.setAttribute('aria-busy', 'false');
    this.stage.hidden = this.bar.hidden = true;
  }

  end(event) {
    this.close();
    if (!this.text.textContent) this.text.append('(no words)');
    if (FINISHES[event.finish]) this.item.append(element('p', 'stage', FINISHES[event.finish]));
    this.item.append(times(event.usage, event.timings));
  }

  fail(words) {
    this.close();
    this.item.append(element('p', 'trouble', words));
  }

  stopped() {
    this.close();
    this.item.append(element('p', 'stage', 'Stopped.'));
  }

  words() {
    return this.text.textContent;
  }
}
