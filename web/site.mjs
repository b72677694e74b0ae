// Makes the demo page's folder: node site.mjs OUT
//
//   OUT/            web/demo, with site.js: the version and the list of files for the service worker
//   OUT/mote/       the package's files for browsers
//   OUT/models/     the model in the box
// Beside each file that it helps, NAME.br and NAME.gz: what a server sends that knows of them. Prints the bytes over the
// wire of a first visit.
import {createHash} from 'node:crypto';
import {cp, mkdir, readFile, readdir, rm, writeFile} from 'node:fs/promises';
import {dirname, join, relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import {brotliCompressSync, constants, gzipSync} from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const PACKAGE = ['index.js', 'worker.js', 'thread.js', 'mote.wasm', 'mote-relaxed.wasm'];
const COMPRESSED = /\.(html|css|js|wasm|svg|webmanifest)$/;

async function filesIn(folder) {
  const entries = await readdir(folder, {recursive: true, withFileTypes: true});
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort();
}

function compressed(bytes) {
  const params = {[constants.BROTLI_PARAM_QUALITY]: bytes.length > 1 << 20 ? 9 : 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length};
  return {br: brotliCompressSync(bytes, {params}), gz: gzipSync(bytes, {level: 9})};
}

// `compress`: writes NAME.br and NAME.gz, which takes seconds.
export async function makeSite(out, {compress = true} = {}) {
  await rm(out, {recursive: true, force: true});
  await mkdir(join(out, 'mote'), {recursive: true});
  await cp(join(here, 'demo'), out, {recursive: true});
  for (const name of PACKAGE) await cp(join(here, 'dist', name), join(out, 'mote', name));

  const names = (await filesIn(out)).map((path) => relative(out, path));
  const hash = createHash('sha256');
  for (const name of names) hash.update(name).update(await readFile(join(out, name)));
  const version = hash.digest('hex').slice(0, 16);
  const files = ['./', ...names.filter((name) => name !== 'sw.js' && name !== 'index.html')];
  await writeFile(join(out, 'site.js'), `// Made by web/site.mjs.\nself.MOTE_SITE = ${JSON.stringify({version, files})};\n`);
  await cp(join(here, 'dist', 'models'), join(out, 'models'), {recursive: true});

  const sizes = [];
  for (const path of await filesIn(out)) {
    const name = relative(out, path);
    const bytes = await readFile(path);
    let wire = bytes.length;
    if (compress && COMPRESSED.test(name)) {
      const {br, gz} = compressed(bytes);
      await writeFile(`${path}.br`, br);
      await writeFile(`${path}.gz`, gz);
      wire = br.length;
    }
    sizes.push({name, bytes: bytes.length, wire});
  }
  return {version, sizes};
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = process.argv[2];
  if (!out) {
    console.error('usage: node site.mjs OUT');
    process.exit(2);
  }
  const {version, sizes} = await makeSite(out);
  const line = (name, bytes, wire) => console.log(`${name.padEnd(34)} ${String(bytes).padStart(9)} ${String(wire).padStart(9)}`);
  console.log(`${out}, version ${version}\n`);
  console.log(`${'file'.padEnd(34)} ${'bytes'.padStart(9)} ${'brotli'.padStart(9)}`);
  for (const {name, bytes, wire} of sizes) line(name, bytes, wire);
  // One of the two modules is fetched; the other comes with the service worker, for later.
  const first = sizes.filter(({name}) => !['sw.js', 'site.js', 'models/CARD.md', 'mote/mote.wasm'].includes(name));
  const sum = (field) => first.reduce((total, file) => total + file[field], 0);
  line('first visit, with relaxed SIMD', sum('bytes'), sum('wire'));
  const page = first.filter(({name}) => !name.startsWith('models/'));
  line('of it without the model', page.reduce((total, {bytes}) => total + bytes, 0), page.reduce((total, {wire}) => total + wire, 0));
}
