import { join } from "node:path";
import { StartError } from "./child.ts";
import type { Certificate } from "./certificate.ts";
import type { ClientOptions } from "./client.ts";
import type { Contender, RunningProxy } from "./contender.ts";
import { freePort } from "./free-port.ts";
import type { Load } from "./load.ts";
import { measure, type Sample } from "./measure.ts";
import type { Origin } from "./origin.ts";
import { prepareLoad } from "./prepare-load.ts";
import { formatUs } from "./report.ts";
import type { Series } from "./summary.ts";
import type { Workload } from "./workload.ts";

/** All rounds of all contenders. */
export interface Tournament {
  readonly contenders: readonly Contender[];
  readonly workloads: readonly Workload[];
  /** Serves the workloads. */
  readonly origin: Origin;
  /** For the contenders that speak TLS. */
  readonly certificate: Certificate;
  /** A temporary folder; each contender gets one inside. */
  readonly folder: string;
  readonly rounds: number;
  /** Length of a timed run. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Is told of each figure as it comes. */
  readonly progress: (line: string) => void;
}

/** Unmeasured load before the first round of each workload: fills the pools and lets a compiler see what is coming. */
const WARM_UP_SECONDS = 2;

/**
 * Starts all contenders, each once, and lets them run by turns: for every workload a warm-up, then the rounds A, B, C, A, B,
 * C. One that waits for its turn uses no CPU. All are stopped at the end, also when `signal` aborts, which throws.
 */
export async function playTournament(tournament: Tournament): Promise<Series[]> {
  const { contenders, workloads, rounds, signal, progress } = tournament;
  const players: Player[] = [];
  try {
    for (const contender of contenders) {
      players.push(await startPlayer(contender, tournament));
      signal.throwIfAborted();
    }
    const running = players.filter(isRunning);
    for (const workload of workloads) {
      const turns: [player: RunningPlayer, load: Load][] = [];
      for (const player of running) {
        const load = await prepareLoad(workload, player.contender.wire, tournament);
        turns.push([player, load]);
        await warmUp(player, load, signal);
      }
      for (let round = 1; round <= rounds; round++) {
        for (const [player, load] of turns) {
          const sample = await playRound(player, workload, load, tournament);
          const turn = `${workload.name}, round ${round} of ${rounds}`;
          progress(`${turn}, ${player.contender.name}: ${inWords(sample)}`);
        }
      }
    }
  } finally {
    for (const player of players) await stopPlayer(player);
  }
  return workloads.flatMap((workload) => players.map((player) => toSeries(player, workload)));
}

/** A contender at work. */
interface Player {
  readonly contender: Contender;
  readonly client: ClientOptions;
  /** `undefined` when it did not start; `faults` says why. */
  readonly proxy: RunningProxy | undefined;
  /** What makes all its figures worthless. */
  readonly faults: string[];
  readonly samples: Map<Workload, Sample[]>;
  /** Requests it has answered to load generators. */
  answered: number;
}

interface RunningPlayer extends Player {
  readonly proxy: RunningProxy;
}

function isRunning(player: Player): player is RunningPlayer {
  return player.proxy !== undefined;
}

async function startPlayer(contender: Contender, tournament: Tournament): Promise<Player> {
  const { origin, certificate, folder, progress } = tournament;
  const { name, wire } = contender;
  const port = await freePort();
  const own = join(folder, name.replaceAll(/[^\w-]/g, "_"));
  const place = { port, originPort: origin.ports[wire.origin], folder: own, certificate };
  const client = { port, wire, ca: certificate.pem };
  const player = { contender, client, samples: new Map<Workload, Sample[]>(), answered: 0 };
  try {
    return { ...player, proxy: await contender.start(place), faults: [] };
  } catch (error) {
    const { message } = error as Error;
    progress(`${contender.name} did not start: ${message}\n${error instanceof StartError ? error.output : ""}`);
    return { ...player, proxy: undefined, faults: [`did not start: ${message}`] };
  }
}

async function stopPlayer({ contender, proxy, faults, answered }: Player): Promise<void> {
  if (proxy === undefined) return;
  const output = await proxy.stop();
  if (!contender.hooks) return;
  const served = Number(/^served (\d+)$/m.exec(output)?.[1] ?? NaN);
  if (!(served >= answered)) faults.push(`the logging hook counted ${served} of ${answered} requests`);
}

async function warmUp(player: Player, load: Load, signal: AbortSignal): Promise<void> {
  try {
    const { requests } = await load.run({ port: player.client.port, seconds: WARM_UP_SECONDS, signal });
    player.answered += requests;
  } catch {
    signal.throwIfAborted(); // anything else will show in the rounds
  }
}

async function playRound(
  player: RunningPlayer,
  workload: Workload,
  load: Load,
  { seconds, signal }: Tournament,
): Promise<Sample> {
  const { contender, client, proxy, samples } = player;
  const sample = await measure({ proxy, client, workload, load, hooks: contender.hooks, seconds, signal });
  samples.set(workload, [...(samples.get(workload) ?? []), sample]);
  if (sample.kind === "figures") player.answered += sample.requests;
  return sample;
}

function toSeries({ contender, samples, faults }: Player, workload: Workload): Series {
  const whole: Sample[] = faults.length > 0 ? [{ kind: "invalid", faults }] : [];
  return { name: contender.name, workload: workload.name, samples: [...(samples.get(workload) ?? []), ...whole] };
}

function inWords(sample: Sample): string {
  if (sample.kind === "invalid") return `invalid: ${sample.faults.join("; ")}`;
  const { userUs, systemUs, requestsPerSecond } = sample;
  return `${formatUs(userUs + systemUs)} µs (user ${formatUs(userUs)}), ${Math.round(requestsPerSecond)} requests/s`;
}
