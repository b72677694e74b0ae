// Example pictures, drawn here: simple enough for the model that comes with mote.

const SIZE = 512;

function background(pen, colour) {
  pen.fillStyle = colour;
  pen.fillRect(0, 0, SIZE, SIZE);
}

function shapes(pen) {
  background(pen, '#f8f8f8');
  pen.fillStyle = '#d62024';
  pen.beginPath();
  pen.arc(160, 290, 100, 0, 2 * Math.PI);
  pen.fill();
  pen.fillStyle = '#2252d6';
  pen.fillRect(320, 105, 120, 120);
}

function number(pen) {
  background(pen, '#f4f0e6');
  pen.fillStyle = '#249c3c';
  pen.font = 'bold 300px "DejaVu Sans", Verdana, system-ui, sans-serif';
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  pen.fillText('42', SIZE / 2, SIZE / 2 + 12);
}

function bars(pen) {
  background(pen, '#f8f8f8');
  const heights = [[170, '#d62024'], [300, '#249c3c'], [235, '#2252d6']];
  heights.forEach(([height, colour], i) => {
    pen.fillStyle = colour;
    pen.fillRect(90 + i * 125, 415 - height, 85, height);
  });
}

export const scenes = [
  {question: 'Describe the picture.', name: 'a red circle and a blue square', draw: shapes},
  {question: 'What number is this?', name: 'the number 42', draw: number},
  {question: 'Which bar is the tallest?', name: 'three bars', draw: bars},
];

export function drawScene(scene) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = SIZE;
  scene.draw(canvas.getContext('2d'));
  return canvas;
}
