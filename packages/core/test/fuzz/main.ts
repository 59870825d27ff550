// Fuzzes for a while: `node packages/core/test/fuzz/main.ts --seconds 60 --seed 1 [--target request-head]`. Prints what it
// finds in the form of a case for finds.json.
import { parseArgs } from "node:util";
import { configureLogs } from "../../src/log/logger.ts";
import { Coverage } from "./coverage.ts";
import { fuzz } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    target: { type: "string" },
  },
});
configureLogs({ levels: "silent" });
const targets = TARGETS.filter(({ name }) => values.target === undefined || name === values.target);
if (targets.length === 0)
  throw new Error(`no target ${values.target}; there are ${TARGETS.map(({ name }) => name).join(", ")}`);
const secondsEach = Number(values.seconds) / targets.length;

for (const target of targets) {
  using coverage = new Coverage((url) => /\/packages\/core\/src\/(?:http1|http2\/hpack)\//.test(url));
  const end = performance.now() + secondsEach * 1000;
  const { runs, kept, finds } = await fuzz(target, {
    seed: Number(values.seed),
    runs: Number.POSITIVE_INFINITY,
    isOver: () => performance.now() > end,
    coverage,
  });
  const name = target.name.padEnd(16);
  console.log(`${name} ${runs} inputs, ${kept} kept, ${coverage.characters} characters of code, ${finds.length} finds`);
  for (const find of finds) console.log(JSON.stringify(find));
  if (finds.length > 0) process.exitCode = 1;
}
