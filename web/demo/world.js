// What there is in a scene, as models/recipe/world.py has it: the model was trained on these words and measures.
// Everything is in units of the picture that the model sees, 128 by 128; canvases are larger and scale.

export const SIZE = 128;

export const COLOURS = {
  red: [214, 32, 36], orange: [250, 138, 18], yellow: [246, 222, 40], green: [36, 156, 60], blue: [34, 82, 214],
  purple: [122, 44, 168], pink: [250, 138, 190], brown: [116, 66, 26], black: [18, 18, 20], white: [248, 248, 248],
  grey: [132, 134, 136],
};
export const SHAPES = ['circle', 'square', 'triangle', 'star', 'ring', 'cross', 'heart', 'diamond', 'moon', 'arrow'];
export const SIZES = {small: [8.5, 10.5], medium: [14, 17], large: [22, 27]};
export const PLACES = [['top left', 'top', 'top right'], ['left', 'middle', 'right'], ['bottom left', 'bottom', 'bottom right']];

// How far a shape may be turned, in radians, and still be called what it is.
export const TURNS = {square: 0.22, triangle: 0.5, cross: 0.2, heart: 0.35, diamond: 0.15, moon: 0.5, star: 3.2, circle: 0, ring: 0, arrow: 0.15};
export const DIRECTIONS = ['up', 'right', 'down', 'left'];

// Pairs that training never showed; scenes that are made here leave them out as training did. Drawn by hand they are allowed.
const HELD = new Set(['red heart', 'blue star', 'green circle', 'yellow moon', 'purple square', 'orange diamond', 'white ring', 'black triangle', 'pink arrow']);
const HELD_NUMBERS = new Set(['17', '28', '39', '43', '56', '64', '72', '85', '91']);
export const isHeld = (colour, shape) => HELD.has(`${colour} ${shape}`);
export const isHeldNumber = (text) => HELD_NUMBERS.has(text);

export const css = ([r, g, b]) => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;

export function placeOf(x, y) {
  const cell = (v) => Math.min(2, Math.max(0, Math.floor(v / (SIZE / 3))));
  return PLACES[cell(y)][cell(x)];
}

// Whether a point is so near to a border between places that its name is a matter of taste.
export function isBetweenPlaces(x, y) {
  return [x, y].some((v) => [SIZE / 3, 2 * SIZE / 3].some((border) => Math.abs(v - border) < 6));
}

// The outline of a shape of radius 1 around 0, y downwards, as a path; `hole`: it has one (to be filled evenodd).
export function outline(shape) {
  const path = new Path2D();
  const polygon = (points) => {
    points.forEach(([x, y], i) => i ? path.lineTo(x, y) : path.moveTo(x, y));
    path.closePath();
    return path;
  };
  const spokes = (count, radius) => Array.from({length: count}, (_, k) => {
    const angle = k * 2 * Math.PI / count;
    return [radius(k) * Math.sin(angle), -radius(k) * Math.cos(angle)];
  });
  switch (shape) {
    case 'circle': path.arc(0, 0, 0.92, 0, 2 * Math.PI); return path;
    case 'ring':
      path.arc(0, 0, 0.92, 0, 2 * Math.PI);
      path.closePath();
      path.arc(0, 0, 0.53, 0, 2 * Math.PI);
      return path;
    case 'moon': {
      // A disc of 0.92 without one of 0.78 that is 0.5 to the right.
      const cut = (0.92 ** 2 - 0.78 ** 2 + 0.5 ** 2) / (2 * 0.5);
      const half = Math.acos(cut / 0.92);
      const inner = Math.acos((cut - 0.5) / 0.78);
      path.arc(0, 0, 0.92, half, 2 * Math.PI - half);
      path.arc(0.5, 0, 0.78, 2 * Math.PI - inner, inner, true);
      path.closePath();
      return path;
    }
    case 'square': return polygon([[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]]);
    case 'triangle': return polygon(spokes(3, () => 1));
    case 'star': return polygon(spokes(10, (k) => k % 2 ? 0.42 : 1));
    case 'diamond': return polygon([[0, -1], [0.66, 0], [0, 1], [-0.66, 0]]);
    case 'cross': {
      const a = 0.32;
      return polygon([[-a, -1], [a, -1], [a, -a], [1, -a], [1, a], [a, a], [a, 1], [-a, 1], [-a, a], [-1, a], [-1, -a], [-a, -a]]);
    }
    case 'arrow': return polygon([[0, -1], [0.75, -0.1], [0.28, -0.1], [0.28, 1], [-0.28, 1], [-0.28, -0.1], [-0.75, -0.1]]);
    case 'heart': return polygon(Array.from({length: 60}, (_, k) => {
      const t = k * 2 * Math.PI / 60;
      return [Math.sin(t) ** 3, -(13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t)) / 15 - 0.1];
    }));
    default: throw new Error(`no such shape: ${shape}`);
  }
}
