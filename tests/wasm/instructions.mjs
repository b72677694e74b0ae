// A reader of WebAssembly code: which instructions each function is made of. Knows the instructions that clang emits for
// mote (MVP, sign extension, bulk memory, SIMD, relaxed SIMD, threads) and refuses any other, so that nothing is
// counted that was not understood.
import {WasmReader} from '../../web/src/module/memory_import.ts';

const kCodeSection = 10;

// What follows each opcode: '' nothing, 'n' a number, 'nn' two, ...
function immediates(opcode) {
  if (opcode >= 0x02 && opcode <= 0x04) return 's';               // block, loop, if: a type
  if ([0x0c, 0x0d, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x3f, 0x40, 0xd2].includes(opcode)) return 'n';
  if (opcode === 0x0e) return 'table';
  if (opcode === 0x11) return 'nn';                               // call_indirect
  if (opcode >= 0x28 && opcode <= 0x3e) return 'nn';              // loads and stores
  if (opcode === 0x41 || opcode === 0x42) return 's';
  if (opcode === 0x43) return '4';
  if (opcode === 0x44) return '8';
  if (opcode <= 0x01 || [0x05, 0x0b, 0x0f, 0x1a, 0x1b].includes(opcode) || (opcode >= 0x45 && opcode <= 0xc4)) return '';
  throw new Error(`opcode 0x${opcode.toString(16)}`);
}
function vectorImmediates(code) {
  if (code <= 11 || code === 92 || code === 93) return 'nn';      // loads and stores
  if (code === 12 || code === 13) return '16';                    // v128.const, i8x16.shuffle
  if (code >= 21 && code <= 34) return '1';                       // lanes
  if (code >= 84 && code <= 91) return 'nn1';                     // loads and stores of lanes
  if (code <= 0x113) return '';
  throw new Error(`opcode 0xfd ${code}`);
}
function bulkImmediates(code) {
  if (code <= 7) return '';                                       // saturating conversions
  if (code === 8 || code === 10 || code === 12 || code === 14) return 'nn';
  if (code === 9 || code === 11 || code === 13) return 'n';
  throw new Error(`opcode 0xfc ${code}`);
}

function skipSigned(reader) {
  while ((reader.byte() & 0x80) !== 0);
}
function skip(reader, what) {
  if (what === 'table') {
    for (let left = reader.number() + 1; left > 0; --left) reader.number();
    return;
  }
  if (what === '16' || what === '4' || what === '8') return reader.skip(Number(what));
  for (const kind of what) {
    if (kind === 'n') reader.number();
    else if (kind === 's') skipSigned(reader);
    else reader.skip(1);
  }
}

// Names of what an instruction counts as.
function classify(opcode, code) {
  if (opcode === 0xfd) {
    if (code === 0x113) return ['vector', 'relaxed', 'relaxed_dot'];
    if (code >= 0x100) return ['vector', 'relaxed'];
    return code === 0xba ? ['vector', 'dot_i16'] : ['vector'];
  }
  if (opcode === 0xfe) return ['atomic'];
  if (opcode === 0x10 || opcode === 0x11) return ['call'];
  if (opcode >= 0x2c && opcode <= 0x2f) return ['narrow_load'];
  if ((opcode >= 0x8b && opcode <= 0xa6) || opcode === 0x2a || opcode === 0x2b) return ['scalar_float'];
  return [];
}

function readInstruction(reader, counts) {
  const opcode = reader.byte();
  let code = 0;
  if (opcode === 0xfd || opcode === 0xfc || opcode === 0xfe) code = reader.number();
  if (opcode === 0xfd) skip(reader, vectorImmediates(code));
  else if (opcode === 0xfc) skip(reader, bulkImmediates(code));
  else if (opcode === 0xfe) skip(reader, code === 3 ? '1' : 'nn');
  else skip(reader, immediates(opcode));
  for (const name of ['all', ...classify(opcode, code)]) counts[name] = (counts[name] ?? 0) + 1;
}

// One {size, counts} for each function, in the order of the module.
export function readFunctions(bytes) {
  const reader = new WasmReader(bytes, 8);
  while (reader.offset < bytes.length) {
    const section = reader.byte(), size = reader.number();
    if (section !== kCodeSection) {
      reader.skip(size);
      continue;
    }
    const functions = [];
    for (let left = reader.number(); left > 0; --left) {
      const size = reader.number(), end = reader.offset + size, counts = {};
      for (let locals = reader.number(); locals > 0; --locals) skip(reader, 'n1');
      while (reader.offset < end) readInstruction(reader, counts);
      if (reader.offset !== end) throw new Error(`a function ends at ${reader.offset}, not at ${end}`);
      functions.push({size, counts});
    }
    return functions;
  }
  throw new Error('the module has no code');
}
