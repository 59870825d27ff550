import { parseBenchArgs, usage, type BenchOptions } from "./args.ts";
import { makeCertificate } from "./certificate.ts";
import { watchDisturbance, type Disturbance } from "./disturbance.ts";
import { checkNames, chooseLineup, type Lineup } from "./lineup.ts";
import { IN_FLIGHT } from "./load.ts";
import { describeMachine, versionOf } from "./machine.ts";
import { startOrigin } from "./origin.ts";
import { PROTOCOLS, type Protocol, type ProtocolName } from "./protocols.ts";
import { sectionOf, writeReadme } from "./readme.ts";
import { formatReport } from "./report.ts";
import { missingRequirements } from "./requirements.ts";
import { summarize, type Series } from "./summary.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { playTournament } from "./tournament.ts";
import { unsuitable, type Workload } from "./workload.ts";
import { chooseWorkloads } from "./workloads/all.ts";

/** Runs the benchmark. Resolves with the exit code: 0, 1 for a run with an invalid row or none at all, 130 after Ctrl-C. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseBenchArgs(args);
  if (options.help) {
    console.log(usage());
    return 0;
  }
  const protocols = options.protocols.map((name) => PROTOCOLS[name]);
  const missing = missingRequirements(protocols);
  if (missing.length > 0) throw new Error(missing.join("\n"));
  checkNames(
    protocols.map(({ contenders }) => contenders),
    options.only,
  );
  const games: Game[] = [];
  for (const name of options.protocols) games.push(await prepareGame(name, options));

  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
  try {
    let code = 0;
    for (const game of games) {
      const sinceNow = watchDisturbance();
      const series = await run(options, game, stop.signal);
      code = Math.max(code, await report({ series, options, game, disturbance: sinceNow() }));
    }
    return code;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    console.error("stopped");
    return 130;
  }
}

/** One protocol, made ready: a tournament of its own, with a table of its own. */
interface Game {
  readonly name: ProtocolName;
  readonly protocol: Protocol;
  readonly lineup: Lineup;
  readonly workloads: readonly Workload[];
}

/** Throws with a sentence for the user when there is nobody to measure, or a workload cannot be sent. */
async function prepareGame(name: ProtocolName, { only, workloads: words }: BenchOptions): Promise<Game> {
  const protocol = PROTOCOLS[name];
  const lineup = await chooseLineup(protocol.contenders, only);
  for (const [skipped, reason] of lineup.skipped) console.error(`skipped with ${name}: ${skipped}: ${reason}`);
  if (lineup.present.length === 0) throw new Error(`nobody left to measure with ${name}`);
  const workloads = chooseWorkloads(words ?? protocol.workloads);
  for (const workload of workloads) {
    const why = protocol.contenders.map(({ wire }) => unsuitable(workload, wire)).find((reason) => reason);
    if (why !== undefined) throw new Error(`"${workload.name}" cannot be measured with ${name}: it ${why}`);
  }
  return { name, protocol, lineup, workloads };
}

async function run(
  { rounds, seconds }: BenchOptions,
  { name, lineup, workloads }: Game,
  signal: AbortSignal,
): Promise<Series[]> {
  await using folder = await temporaryFolder();
  await using origin = await startOrigin(folder.path, workloads);
  return await playTournament({
    contenders: lineup.present.map(({ contender }) => contender),
    workloads,
    origin,
    certificate: await makeCertificate(folder.path),
    folder: folder.path,
    rounds,
    seconds,
    signal,
    progress: (line) => console.error(`${name}, ${line}`),
  });
}

interface Outcome {
  readonly series: readonly Series[];
  readonly options: BenchOptions;
  readonly game: Game;
  readonly disturbance: Disturbance;
}

function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`;
}

/** Prints the tables, and writes them where asked to. */
async function report({ series, options, game, disturbance }: Outcome): Promise<number> {
  const { name, protocol, lineup } = game;
  const { present, skipped } = lineup;
  const { yardstick, says } = protocol;
  const rows = summarize(series, yardstick);
  const versions = present.map(({ contender, version }) => `${contender.name} ${version}`).join(", ");
  const circumstances = [
    `${new Date().toISOString().slice(0, 10)}: ${describeMachine()}`,
    `${versions}; Node.js ${process.versions.node}, ${loadGenerators(game)}`,
    `${says}; rounds of ${options.seconds} s: ${options.rounds}; requests under way: ${IN_FLIGHT}`,
    `meanwhile other processes used ${percent(disturbance.others)} of the machine, other guests of its host ${percent(disturbance.stolen)}`,
  ];
  const text = formatReport({ rows, yardstick, skipped, circumstances });
  console.log(text);
  if (options.writeReadme) await writeReadme(sectionOf("results", name), text);
  return rows.some((row) => row.kind === "invalid") ? 1 : 0;
}

/** The programs of others that send the requests, with their versions. */
function loadGenerators({ lineup }: Game): string {
  const programs = new Set(lineup.present.map(({ contender: { wire } }) => (wire.client === "h2" ? "h2load" : "wrk")));
  return [...programs].map((program) => `${program} ${versionOf(program)}`).join(", ");
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
