// Scenes: made by chance as the recipe of the model makes them, or by hand, and painted on any canvas.
import {COLOURS, DIRECTIONS, SHAPES, SIZE, SIZES, TURNS, css, isHeld, isHeldNumber, outline, placeOf} from './world.js';

export const KINDS = ['shapes', 'number', 'bars', 'gauge'];
const GROUNDS = [[250, 247, 240], [236, 240, 245], [243, 236, 226], [228, 236, 228], [246, 232, 228], [40, 44, 54], [222, 226, 236]];

const {random} = Math;
const between = (low, high) => low + random() * (high - low);
const below = (count) => Math.floor(random() * count);
const pick = (list) => list[below(list.length)];
const distance = (a, b) => Math.hypot(...a.map((value, i) => value - b[i]));

function shuffle(list) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; --i) {
    const j = below(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

// A colour of that name: the base, moved a little.
function tint(name) {
  const light = between(0.95, 1.04);
  return COLOURS[name].map((value) => Math.min(255, Math.max(0, value * light + between(-6, 6))));
}

function ground() {
  const base = pick(GROUNDS);
  const other = base.map((value) => Math.min(255, Math.max(0, value + between(-16, 16))));
  return {from: base, to: other, angle: between(0, 2 * Math.PI)};
}

export function empty() {
  return {kind: 'drawn', ground: {from: GROUNDS[0], to: GROUNDS[0], angle: 0}, shapes: []};
}

function free(scene, x, y, radius) {
  return scene.shapes.every((other) => Math.hypot(x - other.x, y - other.y) > radius + other.radius + 2);
}

// Colours that can be told from the ground.
function visible(scene) {
  return Object.keys(COLOURS).filter((name) => distance(COLOURS[name], scene.ground.from) > 95);
}

export function makeShape(shape, colour, size, x, y) {
  const direction = shape === 'arrow' ? below(4) : null;
  const turn = between(-1, 1) * TURNS[shape] + (direction === null ? 0 : direction * Math.PI / 2);
  return {shape, colour, size, radius: between(...SIZES[size]), x, y, turn, paint: tint(colour),
          direction: direction === null ? null : DIRECTIONS[direction]};
}

function addShape(scene, shape, colour) {
  for (let tries = 0; tries < 60; ++tries) {
    const one = makeShape(shape ?? pick(SHAPES), colour ?? pick(visible(scene)), pick(['small', 'medium', 'medium', 'large', 'large']), 0, 0);
    if (isHeld(one.colour, one.shape)) continue;
    one.x = between(one.radius + 3, SIZE - one.radius - 3);
    one.y = between(one.radius + 3, SIZE - one.radius - 3);
    if (!free(scene, one.x, one.y, one.radius)) continue;
    scene.shapes.push(one);
    return;
  }
}

function makeShapes() {
  const scene = {kind: 'shapes', ground: ground(), shapes: []};
  const count = pick([2, 3, 3, 4, 4, 5]);
  const colours = shuffle(visible(scene));
  const theme = pick(SHAPES);
  const alike = random() < 0.35;
  for (let i = 0; i < count; ++i) addShape(scene, alike && random() < 0.6 ? theme : undefined, colours[i % colours.length]);
  return scene;
}

function makeNumber() {
  const scene = {kind: 'number', ground: ground(), shapes: []};
  let text;
  do text = String(10 + below(90)); while (isHeldNumber(text));
  const colour = pick(visible(scene));
  scene.number = {text, colour, paint: tint(colour), x: between(56, 72), y: between(56, 72), height: between(58, 80), turn: between(-0.12, 0.12)};
  return scene;
}

function makeBars() {
  const scene = {kind: 'bars', ground: ground(), shapes: []};
  const count = 2 + below(4);
  const colours = shuffle(visible(scene));
  const heights = shuffle(Array.from({length: count}, (_, i) => 0.22 + 0.78 * i / (count - 1)));
  const [floor, top, left, right] = [110, 14, 12, SIZE - 12];
  const pitch = (right - left) / count;
  scene.bars = heights.map((share, i) => ({
    colour: colours[i], paint: tint(colours[i]), height: share * (floor - top), width: pitch * 0.68, x: left + pitch * (i + 0.5), floor,
  }));
  scene.line = {left, right, floor};
  return scene;
}

function makeGauge() {
  const scene = {kind: 'gauge', ground: ground(), shapes: []};
  const dark = random() < 0.3;
  const colour = pick(['red', 'orange', 'green', 'blue', dark ? 'white' : 'black']);
  scene.gauge = {value: below(11), colour, dark, radius: between(46, 56), x: 64, y: 66};
  return scene;
}

export function makeScene(kind) {
  return {shapes: makeShapes, number: makeNumber, bars: makeBars, gauge: makeGauge}[kind]();
}

// ---- Painting ---------------------------------------------------------------------------------------------------------

function paintGround(pen, {from, to, angle}) {
  const [dx, dy] = [Math.cos(angle) * SIZE / 2, Math.sin(angle) * SIZE / 2];
  const gradient = pen.createLinearGradient(SIZE / 2 - dx, SIZE / 2 - dy, SIZE / 2 + dx, SIZE / 2 + dy);
  gradient.addColorStop(0, css(from));
  gradient.addColorStop(1, css(to));
  pen.fillStyle = gradient;
  pen.fillRect(0, 0, SIZE, SIZE);
}

export function paintShape(pen, {shape, x, y, radius, turn, paint}) {
  pen.save();
  pen.translate(x, y);
  // A moon's cut is turned around its middle, the others around theirs.
  pen.rotate(turn);
  pen.scale(radius, radius);
  pen.fillStyle = css(paint);
  pen.fill(outline(shape), 'evenodd');
  pen.restore();
}

function paintNumber(pen, {text, paint, x, y, height, turn}) {
  pen.save();
  pen.translate(x, y);
  pen.rotate(turn);
  pen.fillStyle = css(paint);
  pen.font = `bold ${height}px "DejaVu Sans", Verdana, "Liberation Sans", Arial, sans-serif`;
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  pen.fillText(text, 0, height * 0.04, SIZE - 8);
  pen.restore();
}

function paintBars(pen, {bars, line, ground: {from}}) {
  for (const {paint, x, width, height, floor} of bars) {
    pen.fillStyle = css(paint);
    pen.fillRect(x - width / 2, floor - height, width, height);
  }
  pen.fillStyle = from[0] > 110 ? '#111' : '#eee';
  pen.fillRect(line.left - 4, line.floor, line.right - line.left + 8, 1.6);
}

function paintGauge(pen, {value, colour, dark, radius, x, y}) {
  const ink = css(COLOURS[dark ? 'white' : 'black']);
  pen.save();
  pen.translate(x, y);
  pen.beginPath();
  pen.arc(0, 0, radius, 0, 2 * Math.PI);
  pen.fillStyle = css(COLOURS[dark ? 'black' : 'white']);
  pen.fill();
  pen.lineWidth = 2.4;
  pen.strokeStyle = ink;
  pen.beginPath();
  pen.arc(0, 0, radius - 1.2, 0, 2 * Math.PI);
  pen.stroke();
  const ray = (at, from, to, width, paint) => {
    const angle = (-225 + 27 * at) * Math.PI / 180;
    pen.beginPath();
    pen.moveTo(Math.cos(angle) * from * radius, Math.sin(angle) * from * radius);
    pen.lineTo(Math.cos(angle) * to * radius, Math.sin(angle) * to * radius);
    pen.lineWidth = width;
    pen.strokeStyle = paint;
    pen.stroke();
  };
  for (let k = 0; k <= 10; ++k) ray(k, k % 5 ? 0.8 : 0.72, 0.92, k % 5 ? 1.3 : 2.4, ink);
  ray(value, -0.12, 0.72, 3.6, css(COLOURS[colour]));
  pen.beginPath();
  pen.arc(0, 0, radius * 0.09, 0, 2 * Math.PI);
  pen.fillStyle = css(COLOURS[colour]);
  pen.fill();
  pen.restore();
}

export function paintScene(canvas, scene) {
  const pen = canvas.getContext('2d');
  pen.save();
  pen.scale(canvas.width / SIZE, canvas.height / SIZE);
  paintGround(pen, scene.ground);
  if (scene.bars) paintBars(pen, scene);
  if (scene.gauge) paintGauge(pen, scene.gauge);
  if (scene.number) paintNumber(pen, scene.number);
  for (const shape of scene.shapes) paintShape(pen, shape);
  pen.restore();
}

const article = (words) => (/^[aeiou]/.test(words) ? 'an ' : 'a ') + words;

// The scene in words, for who does not see it.
export function tell(scene) {
  const parts = scene.shapes.map((one) => `${article(`${one.size} ${one.colour} ${one.shape}`)}, ${placeOf(one.x, one.y)}`);
  if (scene.number) parts.push(`the number ${scene.number.text} in ${scene.number.colour}`);
  if (scene.bars) parts.push(`bars from left to right: ${scene.bars.map(({colour, height}) => `${colour} ${Math.round(height)}`).join(', ')}`);
  if (scene.gauge) parts.push(`a gauge from 0 to 10 with ${article(scene.gauge.colour)} needle at ${scene.gauge.value}`);
  return parts.length > 0 ? parts.join('; ') : 'nothing yet';
}
