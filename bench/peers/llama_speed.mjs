// llama.cpp's side of bench/peers/speed.py (node-llama-cpp, on the CPU): loads a model once, then does as it is told on
// standard input, as mote_speed.cc does.
//
//   node llama_speed.mjs PACKAGES MODEL.gguf THREADS CONTEXT [auto|on|off]      flash attention; PACKAGES: of npm
//
// Measured is evaluation alone: token ids go in, logits are computed as llama.cpp's own bench computes them (none for a
// prompt, one row per written token), nothing is sampled. JavaScript adds about 0.1 ms a call, which is one per 512
// tokens read and one per token written.
import {createRequire} from "node:module";
import path from "node:path";
import {performance} from "node:perf_hooks";
import readline from "node:readline";
import {pathToFileURL} from "node:url";

const [packages, modelPath, threads, contextSize, flash = "auto"] = process.argv.slice(2);
if (contextSize === undefined) {
  console.error("usage: node llama_speed.mjs PACKAGES MODEL.gguf THREADS CONTEXT [auto|on|off]");
  process.exit(2);
}
const folder = path.resolve(packages, "node_modules", "node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(path.join(folder, "dist", "index.js")));
const {version} = createRequire(import.meta.url)(path.join(folder, "package.json"));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: Number(threads)});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({
  contextSize: Number(contextSize) + 1, batchSize: 512, threads: {ideal: Number(threads), min: Number(threads)},
  ...(flash === "auto" ? {} : {flashAttention: flash === "on"}),
});
const sequence = context.getSequence();
const vocabulary = model.fileInfo.metadata[model.fileInfo.metadata.general.architecture].vocab_size ??
  model.fileInfo.metadata.tokenizer.ggml.tokens.length;

// The same numbers as in mote_speed.cc.
function tokensOf(count) {
  const tokens = [];
  let state = 7;
  for (let i = 0; i < count; ++i) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    tokens.push((state >>> 8) % vocabulary);
  }
  return tokens;
}

// One row of logits and no sampling: below the package's public functions, which sample whatever they are asked.
async function evaluateOne(token) {
  await sequence._decodeTokens([token], [true], 5, sequence._tokenMeter, sequence._contextShift, () => undefined);
}

let reached = 0;
async function run(oneByOne, count, depth) {
  if (reached !== depth) {
    await sequence.clearHistory();
    if (depth > 0) await sequence.evaluateWithoutGeneratingNewTokens(tokensOf(depth));
    reached = depth;
  }
  const tokens = tokensOf(count);
  const start = performance.now();
  if (oneByOne) {
    for (const token of tokens) await evaluateOne(token);
  } else {
    await sequence.evaluateWithoutGeneratingNewTokens(tokens);
  }
  const seconds = (performance.now() - start) / 1000;
  if (sequence.nextTokenIndex !== depth + count) throw new Error(`at ${sequence.nextTokenIndex}, not ${depth + count}`);
  if (depth === 0) {
    await sequence.clearHistory();
  } else {
    await sequence.eraseContextTokenRanges([{start: depth, end: depth + count}]);
  }
  return seconds;
}

await evaluateOne(1);  // fails here if the package has changed inside
await sequence.clearHistory();
const ours = `${context.currentThreads} threads, flash attention ${context.flashAttention}`;
console.log(`ready llama.cpp ${llama.llamaCppRelease.release} (node-llama-cpp ${version}), ${ours}`);
for await (const line of readline.createInterface({input: process.stdin})) {
  const [what, count, depth] = line.split(" ");
  console.log((await run(what === "tg", Number(count), Number(depth))).toFixed(9));
}
process.exit(0);
