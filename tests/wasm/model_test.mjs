// Texts, images and numbers out of the module, in every way in which it runs.
import assert from 'node:assert/strict';
import {after, describe, test} from 'node:test';
import {ask, drawScene, loadEye, nameOf, sceneAnswers, start, stories, storiesExpected, variant, ways, write} from './support.mjs';

const kCancelled = {status: 'cancelled'};

for (const way of ways) {
  describe(nameOf(way), async () => {
    const module = await start(way);
    after(() => module.dispose());

    test('it runs as asked', () => {
      assert.equal(module.threads, way.threads);
      assert.equal(module.threadsReason, '');
      assert.equal(module.shared, way.shared);
      assert.equal(module.memory.buffer instanceof SharedArrayBuffer, way.shared);
      assert.match(module.version, /^\d+\.\d+\.\d+$/);
    });

    test('text is what an independent implementation wrote', {skip: stories === null && '../shared/data is absent'}, () => {
      const model = module.loadModel(write(module, stories));
      assert.match(model.info.backend, new RegExp(variant === 'relaxed' ? 'relaxed' : 'wasm'));
      assert.equal(model.info.threads, way.threads);
      const {cases} = JSON.parse(storiesExpected);
      assert.ok(cases.length > 0);
      for (const {prompt, greedy} of cases) {
        const tokens = model.tokenize(prompt, {addSpecial: true});
        const session = model.createSession();
        const pieces = [];
        const result = session.generate(tokens, {
          temperature: 0, maxTokens: 129 - tokens.length, onText: (text) => void pieces.push(text),
        });
        assert.equal(result.text, greedy);
        assert.equal(pieces.join(''), greedy);
        assert.equal(result.finishReason, 'length');
        assert.equal(result.tokens.length, 129 - tokens.length);
        session.free();
      }
      model.free();
    });

    test('a drawn scene is seen', () => {
      const model = loadEye(module);
      assert.equal(model.vision.projector, 'idefics3');
      for (const [question, answer] of sceneAnswers) {
        const prompt = model.promptFromChat(ask(question), [drawScene()]);
        assert.equal(prompt.info.images, 1);
        assert.equal(prompt.info.imageRows, 16);
        assert.equal(prompt.imageRows(0), 16);
        const session = model.createSession();
        assert.equal(session.generate(prompt, {temperature: 0, maxTokens: 40}).text, answer);
        prompt.free();
        session.free();
      }
      model.free();
    });

    test('steps give the same text, and stop when asked between two', () => {
      const model = loadEye(module);
      const prompt = model.promptFromChat(ask('Describe the picture.'), [drawScene()]);
      const session = model.createSession();
      let outcome = null;
      session.start(prompt, {temperature: 0, maxTokens: 40}, (result, error) => (outcome = {result, error}));
      let steps = 0;
      while (outcome === null && steps < 100) {
        const report = model.step();
        assert.equal(typeof report.running, 'number');
        ++steps;
      }
      assert.equal(outcome.error, null);
      assert.equal(outcome.result.text, sceneAnswers[2][1]);
      assert.ok(steps > outcome.result.tokens.length / 2);

      outcome = null;
      session.start(prompt, {temperature: 0, ignoreEos: true}, (result, error) => (outcome = {result, error}));
      for (let i = 0; i < 3; ++i) model.step();
      assert.equal(outcome, null);
      session.cancel();
      model.step();
      assert.equal(outcome.result.finishReason, 'cancelled');
      model.free();
    });

    test('a generation is stopped by its callback, by cancel() and by the flag in memory', () => {
      const model = loadEye(module);
      const tokens = model.tokenizeChat(ask('hello'));
      const session = model.createSession();
      const options = {temperature: 0, ignoreEos: true, maxTokens: 200};
      let seen = 0;
      const stopped = session.generate(tokens, {...options, onToken: () => ++seen === 5});
      assert.equal(stopped.finishReason, 'cancelled');
      assert.equal(seen, 5);
      const cancelled = session.generate(tokens, {...options, onToken: () => session.cancel()});
      assert.equal(cancelled.finishReason, 'cancelled');
      assert.ok(cancelled.tokens.length <= 1);
      Atomics.store(new Uint8Array(module.memory.buffer), session.cancelFlag, 1);
      assert.equal(session.generate(tokens, options).finishReason, 'cancelled');
      session.cancel();
      assert.throws(() => session.eval(tokens), kCancelled);
      session.cancel();
      session.clearCancel();
      assert.equal(session.generate(tokens, {...options, maxTokens: 3}).finishReason, 'length');
      model.free();
    });

    test('logits, logprobs, embeddings and prefixes', () => {
      const model = loadEye(module);
      const tokens = model.tokenizeChat(ask('What shape is red?'));
      const session = model.createSession();
      assert.equal(session.logits(), null);
      const rows = [];
      session.eval(tokens, {onLogits: (index, logits) => void rows.push([index, logits])});
      assert.deepEqual(rows.map(([index]) => index), Array.from(tokens, (_, i) => i));
      assert.ok(rows.every(([, logits]) => logits.length === model.info.vocabSize && logits.every(Number.isFinite)));
      assert.deepEqual(session.logits(), rows.at(-1)[1]);
      assert.deepEqual(session.tokens, tokens);

      const best = rows.at(-1)[1].indexOf(Math.max(...rows.at(-1)[1]));
      const infos = [];
      session.generate(tokens, {temperature: 0, maxTokens: 1, ignoreEos: true, topLogprobs: 3,
                                onToken: (info) => void infos.push(info)});
      assert.equal(infos.length, 1);
      assert.equal(infos[0].top.length, 3);
      assert.equal(infos[0].top[0].token, best);
      assert.ok(infos[0].logprob <= 0);

      const other = model.createSession();
      assert.equal(other.copyPrefix(session, 5), 5);
      assert.deepEqual(other.tokens, tokens.slice(0, 5));
      other.truncate(2);
      assert.equal(other.keepPrefix(tokens), 2);
      const vector = other.embed(tokens, {pooling: 'mean'});
      assert.equal(vector.length, model.info.width);
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-4);
      model.free();
    });

    test('text that has a form', () => {
      const model = loadEye(module);
      const session = model.createSession();
      const tokens = model.tokenizeChat(ask('hello'));
      const grammar = model.grammarFromSchema({enum: ['red', 'green']});
      const {text} = session.generate(tokens, {temperature: 0, grammar, maxTokens: 40});
      assert.ok(['red', 'green'].includes(JSON.parse(text)), text);
      model.free();
    });
  });
}
