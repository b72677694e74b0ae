// The picture: a scene that one draws on, or a picture or camera frame that one only looks at.
import {empty, makeScene, makeShape, paintScene, tell, KINDS} from './scene.js';
import {COLOURS, SHAPES, SIZE, css, outline, placeOf} from './world.js';

const find = (id) => document.getElementById(id);
const DRAWING = find('canvas').getAttribute('aria-label');
const STEP = 4;  // of the cross, for one press of an arrow key

function radio(group, name, value, label, face, checked) {
  const pick = document.createElement('label');
  const input = document.createElement('input');
  Object.assign(input, {type: 'radio', name, value, checked, title: label});
  input.setAttribute('aria-label', label);
  pick.className = 'pick';
  pick.append(input, face);
  group.append(pick);
}

function shapeIcon(shape) {
  // A canvas' path has no text form, so the icon is a small canvas in the colour of its text.
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 48;
  canvas.className = 'shape-icon';
  const pen = canvas.getContext('2d');
  const paint = () => {
    pen.clearRect(0, 0, 48, 48);
    pen.save();
    pen.translate(24, 24);
    pen.scale(19, 19);
    pen.fillStyle = getComputedStyle(canvas).color || '#888';
    pen.fill(outline(shape), 'evenodd');
    pen.restore();
  };
  return {canvas, paint};
}

export class Stage {
  #scene = null;
  #picture = null;  // {bitmap, name}
  #cross = {x: SIZE / 2, y: SIZE / 2};
  #icons = [];
  #kind = 0;
  onChange = () => {};
  onSay = () => {};

  constructor() {
    this.canvas = find('canvas');
    for (const shape of SHAPES) {
      const icon = shapeIcon(shape);
      this.#icons.push(icon);
      radio(find('shapes'), 'shape', shape, shape, icon.canvas, shape === 'star');
    }
    for (const [name, value] of Object.entries(COLOURS)) {
      const swatch = document.createElement('span');
      swatch.className = 'swatch';
      swatch.style.background = css(value);
      radio(find('colours'), 'colour', name, name, swatch, name === 'red');
    }
    for (const size of ['small', 'medium', 'large']) {
      const dot = document.createElement('i');
      dot.className = `size-${size}`;
      radio(find('sizes'), 'size', size, size, dot, size === 'medium');
    }
    this.#listen();
    this.paintIcons();
  }

  // When the colours of the page change, and when the choice does.
  paintIcons() {
    for (const icon of this.#icons) icon.paint();
  }

  #listen() {
    const {canvas} = this;
    find('shapes').addEventListener('change', () => this.paintIcons());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.paintIcons());
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || !this.#scene) return;
      const box = canvas.getBoundingClientRect();
      this.#place((event.clientX - box.left) / box.width * SIZE, (event.clientY - box.top) / box.height * SIZE);
    });
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('focus', () => this.#showCross(canvas.matches(':focus-visible')));
    canvas.addEventListener('blur', () => this.#showCross(false));
    find('undo').addEventListener('click', () => {
      this.#scene?.shapes.pop();
      this.#changed('Taken back.');
    });
    find('clear').addEventListener('click', () => this.show(empty(), 'An empty picture.'));
  }

  #key(event) {
    const moves = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP]};
    const move = moves[event.key];
    if (!this.#scene) return;
    if (move) {
      event.preventDefault();
      const clamp = (v) => Math.min(SIZE - 6, Math.max(6, v));
      this.#cross = {x: clamp(this.#cross.x + move[0]), y: clamp(this.#cross.y + move[1])};
      this.#showCross(true);
      this.onSay(placeOf(this.#cross.x, this.#cross.y));
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.#place(this.#cross.x, this.#cross.y);
    }
  }

  #showCross(visible) {
    const cross = find('cross');
    cross.hidden = !visible || !this.#scene;
    cross.style.left = `${this.#cross.x / SIZE * 100}%`;
    cross.style.top = `${this.#cross.y / SIZE * 100}%`;
  }

  #place(x, y) {
    const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
    const one = makeShape(chosen('shape'), chosen('colour'), chosen('size'), x, y);
    // Nothing of it falls over the edge.
    one.x = Math.min(SIZE - one.radius - 1, Math.max(one.radius + 1, one.x));
    one.y = Math.min(SIZE - one.radius - 1, Math.max(one.radius + 1, one.y));
    this.#scene.shapes.push(one);
    this.#changed(`${one.colour} ${one.shape}, ${placeOf(one.x, one.y)}.`);
  }

  #changed(words) {
    if (this.#scene) paintScene(this.canvas, this.#scene);
    find('canvas-words').textContent = this.words;
    this.#offerTools(Boolean(this.#scene));
    this.onSay(words);
    this.onChange();
  }

  // One draws on scenes only. "Clear" stays: it leads from a picture back to an empty scene.
  #offerTools(drawing) {
    find('frame').dataset.mode = drawing ? 'scene' : 'picture';
    for (const name of ['shapes', 'colours', 'sizes', 'undo']) find(name).disabled = !drawing;
    this.canvas.setAttribute('role', drawing ? 'application' : 'img');
    this.canvas.setAttribute('aria-label', drawing ? DRAWING : 'The picture that the model is asked about');
    if (drawing) this.canvas.setAttribute('aria-roledescription', 'drawing');
    else this.canvas.removeAttribute('aria-roledescription');
  }

  get scene() {
    return this.#scene;
  }

  get words() {
    return this.#scene ? `In it: ${tell(this.#scene)}` : `A picture: ${this.#picture?.name ?? ''}`;
  }

  show(scene, words) {
    this.#scene = scene;
    this.#drop();
    this.#changed(words);
  }

  // Each kind in its turn, shapes most often.
  another() {
    const kind = this.#kind++ % 2 === 0 ? 'shapes' : KINDS[1 + (this.#kind / 2 - 1) % (KINDS.length - 1)];
    this.show(makeScene(kind), 'Another scene.');
  }

  #drop() {
    this.#picture?.bitmap.close();
    this.#picture = null;
  }

  // The stage owns the bitmap from here on. What is shown is what the model sees: the picture as a square.
  showPicture(bitmap, name) {
    this.#scene = null;
    this.#drop();
    this.#picture = {bitmap, name};
    const pen = this.canvas.getContext('2d');
    const {width, height} = this.canvas;
    pen.fillStyle = '#fff';
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(bitmap, 0, 0, width, height);
    this.#changed(`Picture: ${name}.`);
  }

  // What the model is given: the drawing, or the picture in its own size.
  get image() {
    return this.#picture?.bitmap ?? this.canvas;
  }

  // A small copy to stand beside an answer.
  thumbnail() {
    const small = document.createElement('canvas');
    small.width = small.height = 144;
    const pen = small.getContext('2d');
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(this.canvas, 0, 0, 144, 144);
    small.setAttribute('role', 'img');
    small.setAttribute('aria-label', this.words);
    return small;
  }
}
