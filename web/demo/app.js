// The page: a picture, a question, an answer as it comes, all on this device.
import {takePicture} from './camera.js';
import {Latest} from './latest.js';
import {Progress, ask, facts, forget, isStop, loadModel} from './model.js';
import {questionsAbout} from './questions.js';
import {Stage} from './stage.js';
import {Turn} from './talk.js';

const find = (id) => document.getElementById(id);
const question = find('question');
const stage = new Stage();

const loads = new Latest();
let mote = null;
let running = null;  // AbortController

function say(words) {
  find('spoken').textContent = words;
}

function complain(words) {
  find('trouble').textContent = words;
  find('trouble').hidden = !words;
}

function state(kind, words) {
  find('state').dataset.state = kind;
  find('state-text').textContent = words;
}

// ---- Loading ----------------------------------------------------------------------------------------------------------

function showShare(share) {
  find('progress').value = share;
  find('meter').style.transform = `scaleX(${share})`;
}

async function showFacts() {
  if (!mote) return;
  const rows = await facts(mote).catch(() => []);
  find('sheet').replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement('div');
    const term = document.createElement('dt');
    const text = document.createElement('dd');
    term.textContent = name;
    text.textContent = value;
    row.append(term, text);
    return row;
  }));
}

// What runs from here on; throws where it cannot.
async function start(files, signal) {
  const progress = new Progress();
  const loaded = await loadModel(files, signal, (told) => {
    if (signal.aborted) return;
    const {words, share} = progress.take(told);
    find('loading-text').textContent = words;
    if (share > 0) state('wait', `loading the model, ${Math.floor(share * 100)} %`);
    showShare(share);
  });
  if (signal.aborted) {
    await loaded.mote.dispose();
    return;
  }
  mote = loaded.mote;
  const {info} = mote;
  const threads = `${info.threads} ${info.threads === 1 ? 'thread' : 'threads'}`;
  state('good', `${info.variant === 'relaxed' ? 'relaxed SIMD' : '128-bit SIMD'}, ${threads}`);
  find('loading').hidden = true;
  complain(loaded.kept || files ? '' : 'The browser has no room to keep the model: it runs, but must be fetched again next time.');
  say('The model is ready.');
}

// A model that is chosen while another one is loading takes its place. The one before goes first: two at once are more
// memory than a phone may have. Where the visitor's file is no model, the one in the box comes back.
async function load(files, signal) {
  running?.abort();
  document.body.dataset.ready = 'false';
  find('loading').hidden = false;
  state('wait', 'loading the model');
  const before = mote;
  mote = null;
  enable();
  try {
    await before?.dispose();
    try {
      await start(files, signal);
    } catch (error) {
      if (signal.aborted || !files) throw error;
      await start(null, signal);
      const names = files.map(({name}) => name).join(', ');
      const words = `${names} could not be loaded; the model in the box is back. ${error.message}`;
      if (!signal.aborted) complain(words);
    }
  } catch (error) {
    if (signal.aborted) return;
    state('bad', 'not running');
    find('loading-text').textContent = 'The model could not be loaded.';
    complain(error.message);
  }
  if (signal.aborted) return;
  document.body.dataset.ready = String(Boolean(mote));
  enable();
  await showFacts();
}

// ---- Asking -----------------------------------------------------------------------------------------------------------

// A button that is hidden or disabled while it has the focus loses it, and who uses a keyboard begins at the top of the
// page: chips stay where they are, and the two round buttons hand it to each other.
function enable() {
  const ready = Boolean(mote) && !running;
  const [shown, gone] = running ? [find('stop'), find('send')] : [find('send'), find('stop')];
  const focused = document.activeElement === gone;
  shown.hidden = false;
  find('send').disabled = !mote;
  if (focused) (shown.disabled ? question : shown).focus();
  gone.hidden = true;
  for (const chip of document.querySelectorAll('.chip')) chip.setAttribute('aria-disabled', String(!ready));
  find('fresh').hidden = find('talk').childElementCount === 0 || Boolean(running);
}

function showChips() {
  find('chips').replaceChildren(...questionsAbout(stage.scene).map(({question: words, answer: expected}) => {
    const item = document.createElement('li');
    const chip = document.createElement('button');
    Object.assign(chip, {type: 'button', className: 'chip', textContent: words});
    chip.addEventListener('click', () => answer(words, expected));
    item.append(chip);
    return item;
  }));
  enable();
}

// The dock lies over the end of the talk; what is scrolled into sight must end above it (style.css).
function measureDock() {
  document.documentElement.style.setProperty('--dock', `${find('dock').offsetHeight}px`);
}

function follow(turn) {
  measureDock();
  turn.item.scrollIntoView({block: 'nearest'});
}

// Whoever has scrolled away to read is left there.
const inSight = (turn) => turn.item.getBoundingClientRect().bottom <= find('dock').getBoundingClientRect().top + 1;

async function answer(words, expected) {
  if (!mote || running) return;
  complain('');
  find('opening').hidden = true;
  running = new AbortController();
  enable();
  find('frame').dataset.busy = 'true';
  const turn = new Turn(stage.thumbnail(), words, expected);
  find('talk').append(turn.item);
  follow(turn);
  try {
    const {usage, timings} = await ask(mote, stage.image, words, running.signal, (text) => {
      find('frame').dataset.busy = 'false';
      const seen = inSight(turn);
      turn.write(text);
      if (seen) follow(turn);
    });
    turn.end(usage, timings);
    say(`Answer: ${turn.words}`);
  } catch (error) {
    turn.stop(isStop(error) ? 'Stopped.' : error.message);
    say(isStop(error) ? 'Stopped.' : error.message);
  }
  running = null;
  find('frame').dataset.busy = 'false';
  enable();
  follow(turn);
  void showFacts();
}

// ---- Pictures ---------------------------------------------------------------------------------------------------------

async function showFile(file) {
  if (!file) return;
  try {
    stage.showPicture(await createImageBitmap(file), file.name || 'pasted');
    complain('');
  } catch {
    complain('The browser cannot read this file as a picture. JPEG, PNG and WebP work everywhere.');
  }
}

const firstPicture = (transfer) => [...(transfer?.files ?? [])].find(({type}) => type.startsWith('image/')) ?? transfer?.files?.[0];

function listenForPictures() {
  find('another').addEventListener('click', () => stage.another());
  find('choose').addEventListener('click', () => find('file').click());
  find('file').addEventListener('change', () => {
    void showFile(find('file').files[0]);
    find('file').value = '';
  });
  find('camera').addEventListener('click', async () => {
    try {
      const bitmap = await takePicture();
      if (bitmap) stage.showPicture(bitmap, 'from the camera');
      complain('');
    } catch (error) {
      complain(error.message);
    }
    find('camera').focus();
  });
  document.addEventListener('paste', (event) => {
    const file = firstPicture(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    void showFile(file);
  });
  let inside = 0;
  const carriesFile = (event) => event.dataTransfer?.types.includes('Files');
  const over = (count) => {
    inside = Math.max(0, count);
    find('drop').hidden = inside === 0;
  };
  document.addEventListener('dragenter', (event) => carriesFile(event) && over(inside + 1));
  document.addEventListener('dragleave', (event) => carriesFile(event) && over(inside - 1));
  document.addEventListener('dragover', (event) => carriesFile(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    over(0);
    void showFile(firstPicture(event.dataTransfer));
  });
}

function listen() {
  stage.onChange = showChips;
  stage.onSay = say;
  find('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    if (!mote || running) return;  // the words stay
    const words = question.value.trim() || 'Describe the picture.';
    question.value = '';
    void answer(words);
  });
  find('stop').addEventListener('click', () => running?.abort());
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') running?.abort(); });
  find('fresh').addEventListener('click', () => {
    find('talk').replaceChildren();
    find('opening').hidden = false;
    enable();
    question.focus();
  });
  find('forget').addEventListener('click', async () => {
    await forget();
    await showFacts();
    say('The kept model is deleted.');
  });
  find('own').addEventListener('click', () => find('own-file').click());
  find('own-file').addEventListener('change', () => {
    const files = [...find('own-file').files];
    find('own-file').value = '';
    if (files.length === 0) return;
    find('opening').hidden = false;
    void loads.run((signal) => load(files, signal));
  });
}

// Where the two halves stand one below the other, the tools would push the talk out of sight.
if (matchMedia('(max-width: 34rem)').matches) find('tools').open = false;
listen();
listenForPictures();
new ResizeObserver(measureDock).observe(find('dock'));
stage.another();
void loads.run((signal) => load(null, signal));
// Only over HTTPS or from this machine do browsers have it; the page works without.
navigator.serviceWorker?.register('sw.js').catch(() => {});
