// Logits of every position by llama.cpp (node-llama-cpp), on the CPU, as mote logits writes them: raw little-endian
// float32, (tokens, vocab).
//
//   node llama_logits.mjs MODEL.gguf TOKENS OUT.bin [THREADS]      TOKENS: 1,2,3
import fs from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, tokenList, outPath, threads = "2"] = process.argv.slice(2);
if (outPath === undefined) {
  console.error("usage: node llama_logits.mjs MODEL.gguf 1,2,3 OUT.bin [THREADS]");
  process.exit(2);
}
const tokens = tokenList.split(",").map(Number);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({
  // What mote takes by default: LongRoPE chooses its factors by it.
  contextSize: Math.min(model.trainContextSize, 8192), batchSize: 512, threads: Number(threads), flashAttention: false,
});
const sequence = context.getSequence();
const out = fs.openSync(outPath, "w");
// In pieces, so that the logits of a large vocabulary do not all live as maps of JavaScript numbers at once.
for (let at = 0; at < tokens.length; at += 16) {
  const piece = tokens.slice(at, at + 16);
  const result = await sequence.controlledEvaluate(
    piece.map((token) => [token, {generateNext: {logits: true, options: {temperature: 0}}}]));
  for (let i = 0; i < piece.length; ++i) {
    const logits = result[i].next.logits;
    const row = new Float32Array(logits.size);
    for (const [token, value] of logits) row[token] = value;
    fs.writeSync(out, Buffer.from(row.buffer));
  }
}
fs.closeSync(out);
await context.dispose();
await model.dispose();
process.exit(0);
