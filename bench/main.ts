/** `npm run bench -- <name>`: measurements, run on demand, never part of the tests. */
import { runChainBench } from './chain.js';
import { runDumpBench } from './dump.js';

const benches: Record<string, (args: string[]) => Promise<void>> = { dump: runDumpBench, chain: runChainBench };

const [name = '', ...args] = process.argv.slice(2);
const bench = benches[name];
if (!bench) {
  console.error(`npm run bench -- <${Object.keys(benches).join('|')}> [options]`);
  process.exitCode = 2;
} else {
  await bench(args);
}
