import { parseBenchArgs, usage, type BenchOptions } from "./args.ts";
import { CONTENDERS, YARDSTICK } from "./contenders/all.ts";
import { watchDisturbance, type Disturbance } from "./disturbance.ts";
import { chooseLineup, type Lineup } from "./lineup.ts";
import { describeMachine, wrkVersion } from "./machine.ts";
import { startOrigin } from "./origin.ts";
import { writeReadme } from "./readme.ts";
import { formatReport } from "./report.ts";
import { missingRequirements } from "./requirements.ts";
import { summarize, type Series } from "./summary.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { playTournament } from "./tournament.ts";
import type { Workload } from "./workload.ts";
import { chooseWorkloads } from "./workloads/all.ts";
import { CONNECTIONS } from "./wrk.ts";

/** Runs the benchmark. Resolves with the exit code: 0, 1 for a run with an invalid row or none at all, 130 after Ctrl-C. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseBenchArgs(args);
  if (options.help) {
    console.log(usage(CONTENDERS.map((contender) => contender.name)));
    return 0;
  }
  const missing = missingRequirements();
  if (missing.length > 0) throw new Error(missing.join("\n"));
  const workloads = chooseWorkloads(options.workloads);
  const lineup = await chooseLineup(CONTENDERS, options.only);
  for (const [name, reason] of lineup.skipped) console.error(`skipped: ${name}: ${reason}`);
  if (lineup.present.length === 0) throw new Error("nobody left to measure");

  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
  try {
    const sinceNow = watchDisturbance();
    const series = await run(options, workloads, lineup, stop.signal);
    return await report({ series, options, lineup, disturbance: sinceNow() });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    console.error("stopped");
    return 130;
  }
}

async function run(
  { rounds, seconds }: BenchOptions,
  workloads: readonly Workload[],
  { present }: Lineup,
  signal: AbortSignal,
): Promise<Series[]> {
  await using folder = await temporaryFolder();
  await using origin = await startOrigin(folder.path, workloads);
  const contenders = present.map(({ contender }) => contender);
  return await playTournament({
    contenders,
    workloads,
    origin,
    folder: folder.path,
    rounds,
    seconds,
    signal,
    progress: (line) => console.error(line),
  });
}

interface Outcome {
  readonly series: readonly Series[];
  readonly options: BenchOptions;
  readonly lineup: Lineup;
  readonly disturbance: Disturbance;
}

function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`;
}

/** Prints the tables, and writes them where asked to. */
async function report({ series, options, lineup: { present, skipped }, disturbance }: Outcome): Promise<number> {
  const rows = summarize(series, YARDSTICK);
  const versions = present.map(({ contender, version }) => `${contender.name} ${version}`).join(", ");
  const circumstances = [
    `${new Date().toISOString().slice(0, 10)}: ${describeMachine()}`,
    `${versions}; Node.js ${process.versions.node}, wrk ${wrkVersion()}`,
    `rounds of ${options.seconds} s: ${options.rounds}; connections: ${CONNECTIONS}`,
    `meanwhile other processes used ${percent(disturbance.others)} of the machine, other guests of its host ${percent(disturbance.stolen)}`,
  ];
  const text = formatReport({ rows, yardstick: YARDSTICK, skipped, circumstances });
  console.log(text);
  if (options.writeReadme) await writeReadme("results", text);
  return rows.some((row) => row.kind === "invalid") ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
