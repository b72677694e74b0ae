// Parts of the demo page that need no browser: what is stopped or left in its midst leaves nothing running.
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {takePicture} from '../../web/demo/camera.js';
import {Latest} from '../../web/demo/latest.js';

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
const later = () => {
  let settle;
  const promise = new Promise((resolve, reject) => { settle = {resolve, reject}; });
  return {promise, ...settle};
};

test('only the latest counts, and never two run at once', async () => {
  const latest = new Latest();
  const steps = [];
  const body = (name, gate) => async (signal) => {
    steps.push(`${name} begins`);
    await gate.promise;
    steps.push(`${name} ends, ${signal.aborted ? 'stopped' : 'counts'}`);
    if (name === 'a') throw new Error('of a load that was stopped');
  };
  const gates = [later(), later(), later()];
  const a = latest.run(body('a', gates[0]));
  await turn();
  const b = latest.run(body('b', gates[1]));
  const c = latest.run(body('c', gates[2]));
  for (const gate of gates) gate.resolve();
  assert.deepEqual(await Promise.all([a, b, c]), [false, false, true]);
  assert.deepEqual(steps, ['a begins', 'a ends, stopped', 'c begins', 'c ends, counts']);
  await assert.rejects(latest.run(async () => { throw new Error('its own'); }), /its own/);
});

// What camera.js uses of a page.
function fakePage() {
  const made = new Map();
  const find = (id) => {
    if (!made.has(id)) {
      made.set(id, Object.assign(new EventTarget(), {
        hidden: true, disabled: false, srcObject: null, videoWidth: 640, videoHeight: 480, focus() {}, async play() {},
      }));
    }
    return made.get(id);
  };
  globalThis.document = Object.assign(new EventTarget(), {getElementById: find});
  const asked = [];
  const camera = {
    getUserMedia: () => {
      const one = {...later(), stopped: 0};
      one.give = () => one.resolve({getTracks: () => [{stop: () => { ++one.stopped; }}]});
      asked.push(one);
      return one.promise;
    },
    enumerateDevices: async () => [{kind: 'videoinput'}, {kind: 'videoinput'}],
  };
  Object.defineProperty(globalThis, 'navigator', {value: {mediaDevices: camera}, configurable: true});
  return {find, asked, press: (id) => find(id).dispatchEvent(new Event('click'))};
}

test('a camera that is allowed only after one has left is switched off', async () => {
  const {asked, press, find} = fakePage();
  const picture = takePicture();
  press('lens-close');
  assert.equal(await picture, null);
  asked[0].give();
  await turn();
  assert.equal(asked[0].stopped, 1);
  assert.equal(find('video').srcObject, null);
});

test('a picture that is taken, and a camera that is turned, leave none on', async () => {
  const {asked, press, find} = fakePage();
  let bitmap;
  globalThis.createImageBitmap = async (_, x, y, width, height) => (bitmap = {x, y, width, height, close() { this.closed = true; }});
  const picture = takePicture();
  asked[0].give();
  await turn();
  assert.deepEqual([find('lens-take').disabled, find('lens-turn').hidden], [false, false]);
  press('lens-turn');
  assert.equal(find('lens-turn').disabled, true, 'not twice, before the other one is there');
  asked[1].give();
  await turn();
  press('lens-take');
  assert.equal(await picture, bitmap);
  assert.deepEqual([bitmap.x, bitmap.y, bitmap.width, bitmap.closed], [80, 0, 480, undefined]);
  assert.deepEqual(asked.map(({stopped}) => stopped), [1, 1]);
});
