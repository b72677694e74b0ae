// The demo page in Debian's chromium: node page_test.mjs [--shots FOLDER]
import assert from 'node:assert/strict';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {MODEL, needBrowser, openPage, option, site, startSite} from './browser.mjs';

const launch = await needBrowser();
const shots = option('--shots');
if (shots) mkdirSync(shots, {recursive: true});
let browser;
let server;
const faults = {};

before(async () => {
  server = await startSite(await site('page'), {faults});
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

async function open(settings) {
  const page = await openPage(browser, server.url, settings);
  await page.waitForSelector('body[data-ready=true]');
  return page;
}

// A page that has said nothing to the console and broken no rule of its policy.
async function close(page) {
  assert.deepEqual(page.complaints, []);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  await page.context().close();
}

const shoot = (page, name) => shots ? page.screenshot({path: join(shots, `${name}.png`)}) : null;
const answered = (page, count) => page.waitForFunction((n) => document.querySelectorAll('.turn[aria-busy=false]').length === n, count);

test('a scene is made, asked about, and the answer judged', async () => {
  const page = await open();
  await shoot(page, 'light');
  const right = async () => {
    for (let i = 0; i < 6; ++i) {
      await page.locator('.chip').first().click();
      await answered(page, i + 1);
      await page.click('#another');
    }
    return page.locator('.verdict.right').count();
  };
  // Colours and shapes are answered right in nine of ten, numbers, gauges and bars in seven and more.
  assert.ok(await right() >= 2, 'of six answers two are right');
  assert.equal(await page.locator('.verdict').count(), 6);
  const facts = await page.locator('.turn .facts').last().innerText();
  for (const word of ['seeing', 'reading', 'first word after', 'tokens']) assert.ok(facts.includes(word), facts);
  assert.match(await page.innerText('#state-text'), /SIMD, \d+ threads?/);
  await page.click('.hood summary');
  const sheet = await page.innerText('#sheet');
  assert.match(sheet, /relaxed SIMD|128-bit SIMD/);
  assert.match(sheet, /Kept in this browser\s+5\.\d MB/);
  await shoot(page, 'light-answers');
  await page.click('#fresh');
  assert.equal(await page.locator('.turn').count(), 0);
  await close(page);
});

test('what one draws is what the model sees', async () => {
  const page = await open();
  await page.click('#clear');
  await page.check('input[value=circle]');
  await page.check('input[value=red]');
  await page.check('input[value=large]');
  const box = await page.locator('#canvas').boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  assert.match(await page.locator('#canvas-words').textContent(), /In it: a large red circle, middle/);
  await page.fill('#question', 'What colour is it?');
  await page.press('#question', 'Enter');
  await answered(page, 1);
  assert.equal(await page.locator('.words').last().innerText(), 'red');
  await page.click('#undo');
  assert.match(await page.locator('#canvas-words').textContent(), /nothing yet/);
  await close(page);
});

test('by keyboard, and said to who cannot see', async () => {
  const page = await open();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'question');
  await page.click('#clear');
  await page.focus('#canvas');
  for (let i = 0; i < 10; ++i) await page.keyboard.press('ArrowLeft');
  assert.equal(await page.innerText('#spoken'), 'left');
  await page.keyboard.press('Enter');
  assert.match(await page.locator('#canvas-words').textContent(), /star, left/);
  await page.fill('#question', 'What shape is it?');
  await page.press('#question', 'Enter');
  await answered(page, 1);
  const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
  assert.equal(await focus(), 'question');
  assert.equal(await page.innerText('#spoken'), `Answer: ${await page.locator('.words').last().innerText()}`);
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, canvas, summary')]
    .filter((one) => !one.closest('[aria-hidden=true], .pick > canvas') && one.getAttribute('aria-hidden') !== 'true' && !one.matches('.pick canvas'))
    .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length))
    .map((one) => one.outerHTML));
  assert.deepEqual(nameless, []);
  // Whatever one asks with keeps the focus, or hands it on.
  await page.locator('.chip').first().press('Enter');
  await answered(page, 2);
  assert.equal(await focus(), 'chip');
  await page.fill('#question', 'What shape is it?');
  await page.press('#send', 'Enter');
  await answered(page, 3);
  assert.equal(await focus(), 'send');
  await close(page);
});

test('on a phone the end of each answer is above the question', async () => {
  const page = await open({viewport: {width: 390, height: 844}, reducedMotion: 'reduce'});
  for (let count = 1; count <= 4; ++count) {
    await page.fill('#question', 'How many shapes are there?');
    await page.press('#question', 'Enter');
    await answered(page, count);
    const [end, dock] = await page.evaluate(() => [[...document.querySelectorAll('.turn')].at(-1), document.getElementById('dock')]
      .map((one, i) => one.getBoundingClientRect()[i === 0 ? 'bottom' : 'top']));
    assert.ok(end <= dock + 1, `answer ${count} ends at ${end}, the question begins at ${dock}`);
  }
  await shoot(page, 'light-phone-answers');
  await close(page);
});

test('a file that is no model is named, and the model in the box comes back', async () => {
  const page = await open();
  await page.setInputFiles('#own-file', {name: 'notes.gguf', mimeType: '', buffer: Buffer.from('no model at all')});
  await page.locator('#trouble', {hasText: /^notes\.gguf could not be loaded; the model in the box is back/}).waitFor();
  await page.waitForSelector('body[data-ready=true]');
  await page.locator('.chip').first().click();
  await answered(page, 1);
  assert.ok((await page.locator('.words').last().innerText()).length > 0);
  await close(page);
});

test('an answer can be stopped', async () => {
  const page = await open();
  // A worker that is slow to hear: the click comes first.
  await page.evaluate(() => {
    document.getElementById('question').value = 'Describe the picture.';
    document.getElementById('composer').requestSubmit();
    document.getElementById('stop').click();
  });
  await answered(page, 1);
  assert.equal(await page.innerText('.stopped'), 'Stopped.');
  assert.ok(await page.isVisible('#send'));
  await page.locator('.chip').first().click();
  await answered(page, 2);
  assert.ok((await page.locator('.words').last().innerText()).length > 0, 'and another one asked');
  await close(page);
});

test('the camera, a dropped and a pasted picture, and what is none', async () => {
  const page = await open();
  await page.click('#camera');
  await page.waitForSelector('#lens-take:enabled');
  await shoot(page, 'light-camera');
  await page.click('#lens-take');
  await page.locator('#canvas-words', {hasText: 'from the camera'}).waitFor({state: 'attached'});
  assert.ok(await page.isDisabled('#undo') && await page.isDisabled('input[value=star]'), 'one does not draw on pictures');
  assert.match(await page.getAttribute('#canvas', 'aria-label'), /picture/);
  assert.equal(await page.evaluate(() => document.getElementById('video').srcObject), null, 'the camera is off again');
  await page.locator('.chip').first().click();
  await answered(page, 1);
  await page.click('#camera');
  await page.waitForSelector('#lens-take:enabled');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#video', {state: 'hidden'});
  const give = (type, mime, name, text) => page.evaluate(async ([event, kind, file, content]) => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 300, height: 100});
    const blob = content ? new Blob([content], {type: kind}) : await new Promise((resolve) => canvas.toBlob(resolve, kind));
    const data = new DataTransfer();
    data.items.add(new File([blob], file, {type: kind}));
    const options = {bubbles: true, cancelable: true};
    document.body.dispatchEvent(event === 'paste' ? new ClipboardEvent('paste', {...options, clipboardData: data})
      : new DragEvent(event, {...options, dataTransfer: data}));
  }, [type, mime, name, text]);
  await give('paste', 'image/png', 'pasted.png');
  await page.locator('#canvas-words', {hasText: 'pasted.png'}).waitFor({state: 'attached'});
  await give('dragenter', 'image/jpeg', 'd.jpg');
  assert.ok(await page.isVisible('#drop'));
  await give('drop', 'image/jpeg', 'dropped.jpg');
  await page.locator('#canvas-words', {hasText: 'dropped.jpg'}).waitFor({state: 'attached'});
  assert.ok(await page.isHidden('#drop'));
  await give('drop', 'text/plain', 'notes.txt', 'no picture');
  await page.locator('#trouble', {hasText: 'cannot read this file'}).waitFor();
  await page.click('#clear');
  assert.ok(await page.isEnabled('#undo'), 'and draws again after Clear');
  await close(page);
});

test('without a network after the first visit', async () => {
  const page = await open();
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => new Promise((resolve) => {
    if (navigator.serviceWorker.controller) resolve();
    navigator.serviceWorker.addEventListener('controllerchange', () => resolve());
  })));
  await page.context().setOffline(true);
  faults.before = (request, response) => {
    response.destroy();
    return true;
  };
  try {
    await page.reload();
    await page.waitForSelector('body[data-ready=true]');
    assert.equal(await page.evaluate(() => window.crossOriginIsolated), true, 'with threads, as before');
    await page.locator('.chip').first().click();
    await answered(page, 1);
    assert.ok((await page.locator('.words').last().innerText()).length > 0);
  } finally {
    delete faults.before;
  }
  await page.context().close();
});

test('a browser without room: it runs, and says that it keeps nothing', async () => {
  const page = await openPage(browser, 'about:blank');
  const session = await page.context().newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', {origin: new URL(server.url).origin, quotaSize: 1000000});
  await page.goto(server.url);
  await page.waitForSelector('body[data-ready=true]');
  assert.match(await page.innerText('#trouble'), /no room to keep the model/);
  await page.context().close();
});

test('a model that cannot be loaded is told in words', async () => {
  faults.before = (request, response) => {
    if (!request.url.endsWith(MODEL)) return false;
    response.writeHead(404).end();
    return true;
  };
  try {
    const page = await openPage(browser, server.url);
    // The page is not ready while it loads either: what ends the wait is the word of trouble.
    await page.locator('#trouble', {hasText: /answered 404/}).waitFor();
    assert.equal(await page.getAttribute('body', 'data-ready'), 'false');
    assert.ok(await page.isDisabled('#send'));
    await page.context().close();
  } finally {
    delete faults.before;
  }
});

test('text has a contrast of 4.5 in both themes, and nothing is wider than a phone', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await open({colorScheme, viewport: {width: 390, height: 844}, reducedMotion: 'reduce'});
    await page.locator('.chip').first().click();
    await answered(page, 1);
    const worst = await page.evaluate(() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue(name).trim();
        const channel = (at) => {
          const value = parseInt(hex.slice(at, at + 2), 16) / 255;
          return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        };
        return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
      };
      const pairs = ['--ink', '--soft', '--accent', '--bad', '--good'].flatMap((text) => ['--ground', '--raised', '--sunken'].map((ground) => [text, ground]));
      pairs.push(['--accent-ink', '--accent']);
      return pairs.map(([a, b]) => {
        const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
        return [(high + 0.05) / (low + 0.05), a, b];
      }).sort(([x], [y]) => x - y)[0];
    });
    assert.ok(worst[0] >= 4.5, `${colorScheme}: ${worst}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} pixels too wide`);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('.dot')).animationName), 'none');
    await shoot(page, `${colorScheme}-phone`);
    await close(page);
  }
});
