// mote_speed (bench/peers/mote_speed.cc) on one instruction set, asked like the engines in the page.
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';

/** Null where the processor lacks the instruction set. */
export async function startNative(program, isa, model, threads, context) {
  const child = spawn(program, [model, String(threads), String(context)],
                      {env: {...process.env, MOTE_ISA: isa}, stdio: ['pipe', 'pipe', 'ignore']});
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
  const ready = await lines.next();
  if (ready.done) return null;
  const seconds = async (words) => {
    child.stdin.write(`${words}\n`);
    return Number((await lines.next()).value);
  };
  return {
    isa,
    // As in the page: `count` tokens of prompt, then tokens one by one behind them. Tokens a second.
    run: async (count, pieces) => ({
      prefill: count / await seconds(`pp ${count} 0`), decode: (pieces - 1) / await seconds(`tg ${pieces - 1} ${count}`),
    }),
    end: () => child.stdin.end(),
  };
}
