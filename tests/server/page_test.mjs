// The page in Debian's chromium: node page_test.mjs [--url http://127.0.0.1:8080] [--playwright MODULE] [--shots FOLDER]
// Without --url against a server of its own. Exits 77, aloud, where chromium or playwright-core is missing.
import {existsSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {startFake} from './page_fake.mjs';

const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : process.argv[at + 1];
};
const skip = (why) => {
  console.log(`page: SKIPPED, ${why}`);
  process.exit(77);
};
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path));
if (!chromium) skip('chromium is not installed');
const module = option('--playwright') ?? 'build/tools/browser/node_modules/playwright-core/index.mjs';
if (!existsSync(module)) skip('playwright-core is not installed: scripts/playwright');
const playwright = await import(new URL(module, `file://${process.cwd()}/`));

const fake = option('--url') ? null : await startFake();
const url = option('--url') ?? fake.url;
const shots = option('--shots');
if (shots) mkdirSync(shots, {recursive: true});

let failures = 0;
function check(passed, what) {
  if (passed) return;
  ++failures;
  console.log('page: FAILED: ' + what);
}

const browser = await playwright.chromium.launch({
  executablePath: chromium,
  args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
});

// A page that has said nothing to the console and broken no rule of its policy.
async function open(settings = {}) {
  const context = await browser.newContext({viewport: {width: 1100, height: 760}, permissions: ['camera'], ...settings});
  const page = await context.newPage();
  page.setDefaultTimeout(120000);  // of a machine that has other things to do
  page.complaints = [];
  page.expected = /^$/;
  page.on('console', (message) => {
    if (message.type() === 'error' && !page.expected.test(message.text())) page.complaints.push(message.text());
  });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  await page.goto(url);
  await page.waitForSelector('#server[data-state=good]');
  return page;
}

async function close(page, name) {
  check(page.complaints.length === 0, `${name}: the console has ${page.complaints.join(' | ')}`);
  const violations = await page.evaluate(() => window.violations);
  check(violations.length === 0, `${name}: the policy was broken: ${violations}`);
  await page.context().close();
}

async function shoot(page, name) {
  if (shots) await page.screenshot({path: join(shots, name + '.png')});
}

const lastAnswer = (page) => page.locator('.answer').last();
const finished = (page) => page.locator('.answer').last().locator('.times').waitFor();

// Answers every question with these lines, whatever the server would say.
async function answerWith(page, events, status = 200, headers = {}) {
  await page.unroute('**/v1/chat/completions').catch(() => {});
  await page.route('**/v1/chat/completions', (route) => route.fulfill({
    status, headers: {'Content-Type': 'application/x-ndjson', ...headers},
    body: typeof events === 'string' ? events : events.map((event) => JSON.stringify(event) + '\n').join(''),
  }));
}
const delta = (text) => ({event: 'delta', index: 0, delta: {content: text}});
const done = {event: 'done', choices: [{index: 0, finish_reason: 'stop'}], usage: {}, timings: {}};

async function put(page, text) {
  await page.fill('#question', text);
  await page.press('#question', 'Enter');
}

const tests = {
  async exampleIsAskedAndAnswered() {
    const page = await open();
    check(await page.locator('.example').count() === 3, 'three examples');
    await shoot(page, 'light-empty');
    const release = fake?.hold();
    const request = page.waitForRequest('**/v1/chat/completions');
    await page.locator('.example').first().click();
    const body = (await request).postDataJSON();
    const content = body.messages[0].content;
    check(content[0].type === 'image_url' && content[0].image_url.url.startsWith('data:image/png;base64,'),
          'the picture comes first, as a data URL');
    check(content[1].text === 'Describe the picture.', 'the question follows');
    check((await request).headers().accept === 'application/x-ndjson', 'progress is asked for');
    if (fake) {
      await page.locator('.stage', {hasText: 'Reading, 50 %'}).waitFor();
      await shoot(page, 'light-progress');
      release();
    }
    await finished(page);
    check((await lastAnswer(page).locator('.answer-text').innerText()).trim().length > 0, 'there is an answer');
    check(/tokens/.test(await lastAnswer(page).locator('.facts').innerText()), 'there are figures');
    check(await page.locator('#empty').isHidden(), 'the examples are gone');
    await shoot(page, 'light-answer');
    await close(page, 'example');
  },

  async conversationGoesOnAndBeginsAgainWithAPicture() {
    const page = await open();
    await answerWith(page, [delta(' blue'), done]);
    await page.locator('.example').first().click();
    await finished(page);
    let request = page.waitForRequest('**/v1/chat/completions');
    await put(page, 'Are you sure?');
    let messages = (await request).postDataJSON().messages;
    check(messages.length === 3 && messages[1].role === 'assistant' && messages[1].content === 'blue',
          'the second question carries the first answer');
    await finished(page);
    await page.setInputFiles('#file', {name: 'shot.png', mimeType: 'image/png', buffer: await page.screenshot()});
    await page.waitForSelector('#held:not([hidden])');
    request = page.waitForRequest('**/v1/chat/completions');
    await put(page, 'And this?');
    messages = (await request).postDataJSON().messages;
    check(messages.length === 1 && messages[0].content[0].type === 'image_url', 'a new picture begins anew');
    await finished(page);
    await page.click('#fresh');
    check(await page.locator('.turn').count() === 0 && await page.locator('#empty').isVisible(), 'a new conversation');
    await close(page, 'conversation');
  },

  async modelTextIsText() {
    const page = await open();
    const evil = '<img src=x onerror="window.hit=1"><script>window.hit=1</script><b>bold</b>';
    await answerWith(page, [delta(evil), done]);
    await put(page, evil);
    await finished(page);
    check(await lastAnswer(page).locator('.answer-text').innerText() === evil, 'markup is shown as it came');
    check(await page.locator('.turn img, .turn script, .turn b').count() === 0, 'and made no elements');
    check(await page.evaluate(() => window.hit === undefined), 'and ran nothing');
    await close(page, 'text');
  },

  async stopEndsTheRequest() {
    const page = await open();
    await page.route('**/v1/chat/completions', () => {});  // an answer that never comes
    for (const stop of [() => page.click('#stop'), () => page.keyboard.press('Escape')]) {
      await put(page, 'Tell me everything');
      await page.waitForSelector('#stop:not([hidden])');
      const failed = page.waitForEvent('requestfailed');
      await stop();
      await failed;
      await lastAnswer(page).locator('.stage', {hasText: 'Stopped.'}).waitFor();
      check(await page.locator('#send').isVisible() && await page.locator('#stop').isHidden(), 'one may ask again');
    }
    if (fake) {
      await page.unroute('**/v1/chat/completions');
      await put(page, 'Count');
      await page.locator('.answer-text', {hasText: '5'}).waitFor();
      await page.click('#stop');
      await lastAnswer(page).locator('.stage', {hasText: 'Stopped.'}).waitFor();
      for (let i = 0; i < 100 && !fake.aborted.includes('Count'); ++i) await page.waitForTimeout(20);
      check(fake.aborted.includes('Count'), 'the server sees that the client left');
    }
    await close(page, 'stop');
  },

  async troubleIsToldInWords() {
    const page = await open();
    page.expected = /status of (4|5)\d\d/;
    const json = (error) => JSON.stringify({error});
    const cases = [
      [json({message: 'x', code: 'rate_limit'}), 429, {'Retry-After': '7'}, /Try again in 7 s/],
      [json({message: 'x', code: 'queue_full'}), 503, {}, /hands full/],
      [json({message: 'x', code: 'context_length_exceeded'}), 400, {}, /Start a new one/],
      [json({message: 'messages[0]: no such thing'}), 400, {}, /messages\[0\]: no such thing/],
      ['', 413, {}, /larger than the server takes/],
      ['<html>', 502, {}, /status 502/],
      [[delta('half')], 200, {}, /connection broke/],
      ['{"event":"delta"', 200, {}, /connection broke/],
      [[delta('half'), {event: 'error', error: {message: 'the deadline is over'}}], 200, {}, /the deadline is over/],
    ];
    for (const [body, status, headers, words] of cases) {
      await answerWith(page, body, status, headers);
      await put(page, 'Well?');
      const trouble = lastAnswer(page).locator('.trouble');
      await trouble.waitFor();
      check(words.test(await trouble.innerText()), `${status}: "${await trouble.innerText()}" is not ${words}`);
    }
    await shoot(page, 'light-trouble');
    await close(page, 'trouble');
  },

  async keyIsAskedForAndKeptForTheTabOnly() {
    const page = await open();
    page.expected = /status of 401/;
    await page.route('**/v1/models', (route) => {
      if (route.request().headers().authorization === 'Bearer right') return route.fallback();
      return route.fulfill({status: 401, body: '{"error":{"message":"no"}}'});
    });
    await page.reload();
    await page.waitForSelector('#key-row:not([hidden])');
    await shoot(page, 'light-key');
    await page.fill('#key', 'wrong');
    await page.click('#key-use');
    await page.locator('#trouble', {hasText: 'does not know this key'}).waitFor();
    await page.fill('#key', 'right');
    await page.press('#key', 'Enter');
    await page.waitForSelector('#server[data-state=good]');
    check(await page.locator('#key-row').isHidden(), 'the field is gone');
    const kept = await page.evaluate(() => [sessionStorage.getItem('mote-key'), localStorage.length, document.cookie]);
    check(kept[0] === 'right' && kept[1] === 0 && kept[2] === '', 'kept for the tab, and nowhere else');
    await close(page, 'key');
  },

  async cameraGivesAPicture() {
    const page = await open();
    await page.click('#camera');
    await page.waitForSelector('#shutter-take:enabled');
    await shoot(page, 'light-camera');
    await page.click('#shutter-take');
    await page.waitForSelector('#held:not([hidden])');
    check(/^data:image\/jpeg/.test(await page.getAttribute('#held-picture', 'src')), 'a JPEG of the frame');
    check(await page.evaluate(() => document.getElementById('video').srcObject === null), 'the camera is off again');
    await shoot(page, 'light-held');
    await page.click('#camera');
    await page.waitForSelector('#shutter-take:enabled');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#shutter:not([open])', {state: 'hidden'});
    // The dialog's close event, which turns it off, comes a task after the dialog is gone.
    await page.waitForFunction(() => document.getElementById('video').srcObject === null);
    check(await page.evaluate(() => document.getElementById('video').srcObject === null), 'off after Escape');
    await close(page, 'camera');
  },

  async picturesArePastedDroppedAndRefused() {
    const page = await open();
    const give = (type, kind, name, text) => page.evaluate(async ([event, mime, file, content]) => {
      const canvas = document.createElement('canvas');
      canvas.width = 3000;
      canvas.height = 1000;
      const blob = content ? new Blob([content], {type: mime})
        : await new Promise((resolve) => canvas.toBlob(resolve, mime));
      const data = new DataTransfer();
      data.items.add(new File([blob], file, {type: mime}));
      const options = {bubbles: true, cancelable: true};
      document.body.dispatchEvent(event === 'paste' ? new ClipboardEvent('paste', {...options, clipboardData: data})
        : new DragEvent(event, {...options, dataTransfer: data}));
    }, [type, kind, name, text]);
    await give('paste', 'image/png', 'pasted.png');
    await page.locator('#held-text', {hasText: 'pasted.png, 1568 × 523'}).waitFor();
    await page.click('#held-remove');
    await give('dragenter', 'image/jpeg', 'd.jpg');
    check(await page.locator('#drop').isVisible(), 'the page says that it takes the picture');
    await give('drop', 'image/jpeg', 'dropped.jpg');
    await page.locator('#held-text', {hasText: 'dropped.jpg'}).waitFor();
    check(await page.locator('#drop').isHidden(), 'and goes back to what it was');
    await page.click('#held-remove');
    await give('drop', 'text/plain', 'notes.txt', 'no picture');
    await page.locator('#trouble', {hasText: 'cannot read this file'}).waitFor();
    await close(page, 'pictures');
  },

  async keyboardAndReadersCanUseIt() {
    const page = await open();
    await answerWith(page, [delta('fine'), done]);
    await page.keyboard.press('Tab');
    check(await page.evaluate(() => document.activeElement.className) === 'skip', 'Tab first offers to skip');
    await page.keyboard.press('Enter');
    check(await page.evaluate(() => document.activeElement.id) === 'question', 'and skips to the question');
    await page.keyboard.type('one');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('two');
    check(await page.inputValue('#question') === 'one\ntwo', 'Shift and Enter is a new line');
    await page.keyboard.press('Enter');
    await finished(page);
    check(await page.evaluate(() => document.activeElement.id) === 'question', 'the focus stays at the question');
    check(await page.locator('#spoken').innerText() === 'Answer: fine', 'the answer is spoken once, whole');
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, textarea, select, img')]
      .filter((one) => !one.closest('[aria-hidden=true]') && one.getAttribute('aria-hidden') !== 'true')
      .filter((one) => !(one.getAttribute('aria-label') || one.alt || one.textContent.trim() || one.labels?.length))
      .map((one) => one.outerHTML));
    check(nameless.length === 0, 'without a name: ' + nameless);
    await close(page, 'keyboard');
  },

  async contrastIsEnoughInBothThemes() {
    for (const colorScheme of ['light', 'dark']) {
      const page = await open({colorScheme});
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
        const pairs = [['--ink', '--ground'], ['--ink', '--raised'], ['--ink', '--sunken'], ['--soft', '--ground'],
                       ['--soft', '--raised'], ['--soft', '--sunken'], ['--accent-ink', '--accent'], ['--bad', '--ground'],
                       ['--bad', '--raised']];
        return pairs.map(([text, ground]) => {
          const [low, high] = [light(text), light(ground)].sort((a, b) => a - b);
          return [(high + 0.05) / (low + 0.05), text + ' on ' + ground];
        }).sort((a, b) => a[0] - b[0])[0];
      });
      check(worst[0] >= 4.5, `${colorScheme}: ${worst[1]} has ${worst[0].toFixed(2)}`);
      await close(page, 'contrast');
    }
  },

  async darkAndPhone() {
    const dark = await open({colorScheme: 'dark'});
    const ground = await dark.evaluate(() => getComputedStyle(document.body).backgroundColor);
    check(Math.max(...ground.match(/\d+/g).map(Number)) < 64, 'dark is dark: ' + ground);
    await shoot(dark, 'dark-empty');
    await dark.locator('.example').nth(1).click();
    await finished(dark);
    await shoot(dark, 'dark-answer');
    await close(dark, 'dark');
    for (const colorScheme of ['light', 'dark']) {
      const phone = await open({colorScheme, viewport: {width: 360, height: 740}, deviceScaleFactor: 2, hasTouch: true,
                                isMobile: true});
      await shoot(phone, 'phone-empty-' + colorScheme);
      await phone.locator('.example').first().click();
      await finished(phone);
      const width = await phone.evaluate(() => document.documentElement.scrollWidth);
      check(width <= 360, `at 360 pixels the page is ${width} wide`);
      const outside = await phone.evaluate(() => [...document.querySelectorAll('button')].filter((button) => {
        const box = button.getBoundingClientRect();
        return box.width > 0 && (box.left < 0 || box.right > innerWidth);
      }).map((button) => button.id));
      check(outside.length === 0, 'outside of the phone: ' + outside);
      await shoot(phone, 'phone-answer-' + colorScheme);
      await close(phone, 'phone');
    }
  },

  async withoutANetworkThePageIsStillThere() {
    const page = await open();
    page.expected = /ERR_INTERNET_DISCONNECTED|Failed to fetch/;
    await page.evaluate(() => navigator.serviceWorker.ready.then((it) => new Promise((resolve) => {
      if (it.active.state === 'activated') return resolve();
      it.active.onstatechange = (event) => event.target.state === 'activated' && resolve();
    })));
    await page.context().setOffline(true);
    await page.reload();
    await page.waitForSelector('#server[data-state=bad]');
    check(await page.locator('.example').count() === 3, 'the page works from its cache');
    check(/cannot be reached/.test(await page.locator('#trouble').innerText()), 'and says that the server is not there');
    await page.context().setOffline(false);
    await close(page, 'offline');
  },
};

const only = option('--only');
let ran = 0;
for (const [name, test] of Object.entries(tests)) {
  if (only && name !== only) continue;
  ++ran;
  try {
    await test();
  } catch (error) {
    check(false, `${name}: ${error.stack}`);
  }
}
await browser.close();
fake?.close();
console.log(`page: ${ran} tests, ${failures} failures`);
process.exit(failures > 0 || ran === 0 ? 1 : 0);
