// Questions about a scene whose answers are known, in the words that the model was trained on.
import {SHAPES, isBetweenPlaces, placeOf} from './world.js';

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const plural = (word) => word + (word.endsWith('ss') ? 'es' : 's');
const article = (words) => (/^[aeiou]/.test(words) ? 'an ' : 'a ') + words;

function alone(shapes, field) {
  return shapes.filter((one) => shapes.every((other) => other === one || other[field] !== one[field]));
}

function about(shapes) {
  const out = [];
  const byShape = alone(shapes, 'shape');
  const byColour = alone(shapes, 'colour');
  if (byColour.length > 0) {
    const {colour, shape} = pick(byColour);
    out.push({question: `What shape is ${colour}?`, answer: shape});
  }
  if (byShape.length > 0) {
    const {colour, shape} = pick(byShape);
    out.push({question: `What colour is the ${shape}?`, answer: colour});
  }
  const placed = byShape.filter(({x, y}) => !isBetweenPlaces(x, y));
  if (placed.length > 0) {
    const {shape, x, y} = pick(placed);
    out.push({question: `Where is the ${shape}?`, answer: placeOf(x, y)});
  }
  if (shapes.length <= 5) out.push({question: 'How many shapes are there?', answer: String(shapes.length)});
  const repeated = SHAPES.map((shape) => [shape, shapes.filter((one) => one.shape === shape).length]).filter(([, count]) => count > 1);
  if (repeated.length > 0) {
    const [shape, count] = pick(repeated);
    out.push({question: `How many ${plural(shape)} are there?`, answer: String(count)});
  }
  const arrows = shapes.filter(({direction}) => direction);
  if (arrows.length === 1) out.push({question: 'Which way does the arrow point?', answer: arrows[0].direction});
  if (shapes.length > 0) {
    const there = Math.random() < 0.5;
    const absent = SHAPES.filter((shape) => shapes.every((one) => one.shape !== shape));
    const shape = there ? pick(shapes).shape : pick(absent);
    out.push({question: `Is there ${article(shape)}?`, answer: there ? 'yes' : 'no'});
  }
  return out;
}

// [{question, answer}], the most telling first; no answer: it is a matter of words.
export function questionsAbout(scene) {
  if (!scene) return ['Describe the picture.', 'How many shapes are there?', 'What number is this?'].map((question) => ({question}));
  const describe = {question: 'Describe the picture.'};
  if (scene.number) {
    return [{question: 'What number is this?', answer: scene.number.text}, {question: 'What colour is the number?', answer: scene.number.colour}, describe];
  }
  if (scene.gauge) {
    return [{question: 'What does the gauge show?', answer: String(scene.gauge.value)}, {question: 'What colour is the needle?', answer: scene.gauge.colour}, describe];
  }
  if (scene.bars) {
    const sorted = [...scene.bars].sort((a, b) => b.height - a.height);
    return [{question: 'Which bar is the tallest?', answer: sorted[0].colour}, {question: 'Which bar is the shortest?', answer: sorted.at(-1).colour},
            {question: 'How many bars are there?', answer: String(sorted.length)}];
  }
  if (scene.shapes.length === 0) return [{question: 'How many shapes are there?', answer: 'none'}, describe];
  return [...about(scene.shapes).slice(0, 4), describe];
}

// Whether what the model said is the answer: the same words, whatever the case and the end.
export function isRight(said, answer) {
  const plain = (text) => text.trim().toLowerCase().replace(/[.!]$/, '');
  return plain(said) === plain(answer);
}
