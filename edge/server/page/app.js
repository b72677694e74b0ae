// The page: a picture, a question, an answer as it comes.
import {takePicture} from '/camera.js';
import {encode, firstPicture, fromFile} from '/picture.js';
import {drawScene, scenes} from '/scenes.js';
import {Trouble, answer, key, models, setKey} from '/server.js';
import {Answer, asked} from '/turn.js';

const find = (id) => document.getElementById(id);
const question = find('question');

// [{role, text, picture}]; pictures stand before their question, as chat templates put them.
let history = [];
let held = null;
let running = null;  // AbortController
let sees = new Map();

function say(words) {
  find('spoken').textContent = words;
}

function complain(words) {
  find('trouble').textContent = words;
  find('trouble').hidden = !words;
}

function serverState(state, words) {
  find('server').dataset.state = state;
  find('server-text').textContent = words;
}

function askForKey(visible) {
  find('key-row').hidden = !visible;
  find('key-change').hidden = visible || !key();
  if (visible) find('key').focus();
}

async function connect() {
  serverState('wait', 'connecting');
  try {
    const found = await models();
    sees = new Map(found.map((model) => [model.id, model.sees]));
    const select = find('model');
    select.replaceChildren(...found.map((model) => new Option(model.id, model.id)));
    find('model-picker').hidden = found.length < 2;
    serverState('good', found.length < 2 ? found[0].id : '');
    askForKey(false);
    complain('');
    return true;
  } catch (error) {
    serverState('bad', error.wantsKey ? 'needs a key' : 'not connected');
    askForKey(Boolean(error.wantsKey));
    complain(error.wantsKey && !key() ? '' : error.message);
    return false;
  }
}

function hold(picture) {
  held = picture;
  find('held').hidden = !picture;
  if (!picture) return;
  find('held-picture').src = picture.url;
  find('held-text').textContent = `${picture.name}, ${picture.width} × ${picture.height}`;
  complain('');
  say('Picture added: ' + picture.name);
  question.focus();
}

async function holdFile(file) {
  if (!file) return;
  try {
    hold(await fromFile(file));
  } catch (error) {
    complain(error.message);
  }
}

// From the newest picture on: small models are trained on one picture at a time, and what is not about it only confuses.
function messages() {
  const from = Math.max(0, history.findLastIndex((message) => message.picture));
  return history.slice(from).map((message) => {
    if (!message.picture) return {role: message.role, content: message.text};
    return {
      role: message.role,
      content: [{type: 'image_url', image_url: {url: message.picture.url}}, {type: 'text', text: message.text}],
    };
  });
}

function follow(near) {
  if (near) window.scrollTo({top: document.documentElement.scrollHeight});
}

function atEnd() {
  return window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 120;
}

function setRunning(controller) {
  running = controller;
  find('send').hidden = Boolean(controller);
  find('stop').hidden = !controller;
  find('fresh').hidden = history.length === 0;
}

async function ask(text) {
  if (running) return;
  const model = find('model').value;
  if (!sees.size && !(await connect())) return;
  if (held && sees.get(model) === false) {
    complain('This model reads text only: it has no vision file.');
    return;
  }
  complain('');
  find('empty').hidden = true;
  const talk = history;  // a new conversation may begin before this answer ends
  talk.push({role: 'user', text, picture: held});
  const shown = new Answer();
  find('talk').append(asked(text, held), shown.item);
  question.value = '';
  grow();
  hold(null);
  const controller = new AbortController();
  setRunning(controller);
  follow(true);
  say('Asked. Waiting for the answer.');
  try {
    for await (const event of answer(find('model').value, messages(), controller.signal)) {
      const near = atEnd();
      shown.take(event);
      follow(near);
    }
    say('Answer: ' + shown.words());
  } catch (error) {
    if (error.name === 'AbortError') {
      shown.stopped();
      say('Stopped.');
    } else {
      shown.fail(error.message);
      say(error.message);
      if (error instanceof Trouble && error.wantsKey) askForKey(true);
    }
  }
  // What got no answer is not part of the conversation.
  if (shown.words()) {
    talk.push({role: 'assistant', text: shown.words()});
  } else {
    talk.pop();
  }
  setRunning(null);
  follow(atEnd());
  if (!find('key-row').contains(document.activeElement)) question.focus();
}

function grow() {
  if (CSS.supports('field-sizing', 'content')) return;
  question.style.height = 'auto';
  question.style.height = Math.min(question.scrollHeight, 176) + 'px';
}

function fresh() {
  running?.abort();
  history = [];
  find('talk').replaceChildren();
  find('empty').hidden = false;
  find('fresh').hidden = true;
  complain('');
  hold(null);
  question.focus();
}

function showExamples() {
  for (const scene of scenes) {
    const canvas = drawScene(scene);
    const button = document.createElement('button');
    const words = document.createElement('span');
    button.type = 'button';
    button.className = 'example';
    words.textContent = scene.question;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'Picture of ' + scene.name);
    button.append(canvas, words);
    button.onclick = () => {
      hold(encode(canvas, canvas.width, canvas.height, scene.name, true));
      ask(scene.question);
    };
    const item = document.createElement('li');
    item.append(button);
    find('examples').append(item);
  }
}

function listenForPictures() {
  find('choose').onclick = () => find('file').click();
  find('file').onchange = () => {
    holdFile(find('file').files[0]);
    find('file').value = '';
  };
  find('camera').onclick = async () => {
    const picture = await takePicture();
    if (picture) hold(picture);
  };
  find('held-remove').onclick = () => {
    hold(null);
    question.focus();
  };
  document.addEventListener('paste', (event) => {
    const file = firstPicture(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    holdFile(file);
  });
  let inside = 0;
  const carriesFile = (event) => event.dataTransfer?.types.includes('Files');
  const over = (count) => {
    inside = count;
    find('drop').hidden = inside <= 0;
  };
  document.addEventListener('dragenter', (event) => carriesFile(event) && over(inside + 1));
  document.addEventListener('dragleave', (event) => carriesFile(event) && over(inside - 1));
  document.addEventListener('dragover', (event) => carriesFile(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    over(0);
    holdFile(firstPicture(event.dataTransfer));
  });
}

function listen() {
  find('composer').onsubmit = (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (text) {
      ask(text);
    } else if (held) {
      ask('Describe the picture.');
    }
  };
  question.oninput = grow;
  question.onkeydown = (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    find('composer').requestSubmit();
  };
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && running && !find('shutter').open) running.abort();
  });
  find('stop').onclick = () => running?.abort();
  find('fresh').onclick = fresh;
  const useKey = () => {
    setKey(find('key').value.trim());
    find('key').value = '';
    connect();
  };
  find('key-use').onclick = useKey;
  find('key').onkeydown = (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    useKey();
  };
  find('key-change').onclick = () => askForKey(true);
}

showExamples();
listenForPictures();
listen();
connect();
// Only from this machine or over HTTPS do browsers have it; the page works without.
navigator.serviceWorker?.register('/sw.js').catch(() => {});
