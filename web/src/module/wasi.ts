// The few things that the module asks of a system. It opens no files: of WASI's preview 1 it gets clocks, random bytes
// and a place for words; everything else answers that there is none of it.

type Imports = Record<string, Record<string, WebAssembly.ImportValue>>;

const kBadDescriptor = 8, kNotSupported = 58;

// Thrown by proxies of exit(), which nothing in the engine calls.
class ModuleExit extends Error {}

interface WasiHooks {
  memory: WebAssembly.Memory;
  print: (line: string) => void;
}

function systemCalls(hooks: WasiHooks): Record<string, (...values: never[]) => number> {
  const view = (): DataView => new DataView(hooks.memory.buffer);
  return {
    clock_time_get(clock: number, _precision: bigint, result: number): number {
      const milliseconds = clock === 0 ? Date.now() : performance.now();
      view().setBigUint64(result >>> 0, BigInt(Math.round(milliseconds * 1e6)), true);
      return 0;
    },
    random_get(address: number, size: number): number {
      // Not into shared memory, which getRandomValues refuses.
      for (let done = 0; done < size; done += 65536) {
        const bytes = crypto.getRandomValues(new Uint8Array(Math.min(65536, size - done)));
        new Uint8Array(hooks.memory.buffer).set(bytes, (address >>> 0) + done);
      }
      return 0;
    },
    fd_write(descriptor: number, vectors: number, count: number, written: number): number {
      if (descriptor !== 1 && descriptor !== 2) return kBadDescriptor;
      let text = '', total = 0;
      for (let i = 0; i < count; ++i) {
        const address = view().getUint32((vectors >>> 0) + i * 8, true);
        const size = view().getUint32((vectors >>> 0) + i * 8 + 4, true);
        text += new TextDecoder().decode(new Uint8Array(hooks.memory.buffer).slice(address, address + size));
        total += size;
      }
      view().setUint32(written >>> 0, total, true);
      if (text.trim() !== '') hooks.print(text.trimEnd());
      return 0;
    },
    fd_prestat_get: () => kBadDescriptor,
    environ_sizes_get(count: number, size: number): number {
      view().setUint32(count >>> 0, 0, true);
      view().setUint32(size >>> 0, 0, true);
      return 0;
    },
    environ_get: () => 0,
    proc_exit(code: number): never {
      throw new ModuleExit(`the module ended with code ${code}`);
    },
  };
}

// All imports of the module: `mote` as given (a helper thread has none: they answer 0), the rest from here.
export function makeImports(module: WebAssembly.Module, hooks: WasiHooks,
                            mote: Record<string, (...values: never[]) => unknown> = {}): Imports {
  const calls = systemCalls(hooks);
  const imports: Imports = {env: {memory: hooks.memory}};
  for (const {module: from, name, kind} of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') continue;
    const missing = from === 'mote' ? () => 0 : () => kNotSupported;
    (imports[from] ??= {})[name] = ((from === 'mote' ? mote[name] : calls[name]) ?? missing) as WebAssembly.ImportValue;
  }
  return imports;
}
