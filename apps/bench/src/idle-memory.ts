import { makeCertificate } from "./certificate.ts";
import { parseIdleMemoryArgs, usage, type IdleMemoryOptions } from "./idle-memory/args.ts";
import { measureIdle, type IdleSample } from "./idle-memory/measure.ts";
import { formatIdleReport, kbPerConnection } from "./idle-memory/report.ts";
import { checkNames, chooseLineup, type Lineup } from "./lineup.ts";
import { describeMachine } from "./machine.ts";
import { startOrigin } from "./origin.ts";
import { PROTOCOLS } from "./protocols.ts";
import { sectionOf, writeReadme } from "./readme.ts";
import { missingRequirements } from "./requirements.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { download } from "./workloads/download.ts";

/** Measures memory. Resolves with the exit code: 0, 1 for a run with an invalid row or none at all, 130 after Ctrl-C. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseIdleMemoryArgs(args);
  if (options.help) {
    console.log(usage());
    return 0;
  }
  const protocol = PROTOCOLS[options.protocol];
  const missing = missingRequirements([protocol]);
  if (missing.length > 0) throw new Error(missing.join("\n"));
  checkNames([protocol.contenders], options.only);
  const lineup = await chooseLineup(protocol.contenders, options.only);
  for (const [skipped, reason] of lineup.skipped) console.error(`skipped: ${skipped}: ${reason}`);
  if (lineup.present.length === 0) throw new Error("nobody left to measure");

  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
  try {
    return await report(await run(options, lineup, stop.signal), options, lineup);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    console.error("stopped");
    return 130;
  }
}

/** The samples of each contender. Rounds alternate, with a new process each. */
async function run(
  { connections, rounds }: IdleMemoryOptions,
  { present }: Lineup,
  signal: AbortSignal,
): Promise<Map<string, IdleSample[]>> {
  const workload = download(13);
  await using folder = await temporaryFolder();
  await using origin = await startOrigin(folder.path, [workload]);
  const certificate = await makeCertificate(folder.path);
  const samples = new Map<string, IdleSample[]>();
  for (let round = 1; round <= rounds; round++) {
    for (const { contender } of present) {
      const place = { origin, certificate, folder: folder.path };
      const sample = await measureIdle({ contender, ...place, workload, connections, signal });
      samples.set(contender.name, [...(samples.get(contender.name) ?? []), sample]);
      console.error(`round ${round} of ${rounds}, ${contender.name}: ${inWords(sample, connections)}`);
    }
  }
  return samples;
}

/** Prints the table, and writes it where asked to. */
async function report(
  samples: ReadonlyMap<string, readonly IdleSample[]>,
  { protocol, connections, rounds, writeReadme: write }: IdleMemoryOptions,
  { present, skipped }: Lineup,
): Promise<number> {
  const versions = present.map(({ contender, version }) => `${contender.name} ${version}`).join(", ");
  const circumstances = [
    `${new Date().toISOString().slice(0, 10)}: ${describeMachine()}`,
    `${versions}; Node.js ${process.versions.node}`,
    `${PROTOCOLS[protocol].says}; rounds: ${rounds}`,
  ];
  const text = formatIdleReport({ samples, connections, skipped, circumstances });
  console.log(text);
  if (write) await writeReadme(sectionOf("memory", protocol), text);
  return [...samples.values()].flat().some((sample) => sample.kind === "invalid") ? 1 : 0;
}

function inWords(sample: IdleSample, connections: number): string {
  if (sample.kind === "invalid") return `invalid: ${sample.faults.join("; ")}`;
  return `${kbPerConnection(sample, connections).toFixed(1)} KB per connection`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
