import type { Figures, Sample } from "./measure.ts";

/** The samples of one contender with one workload, one for each round, in the order of the rounds. */
export interface Series {
  readonly name: string;
  readonly workload: string;
  readonly samples: readonly Sample[];
}

/** A row of the table. */
export type Row =
  | ValidRow
  | { readonly kind: "invalid"; readonly name: string; readonly workload: string; readonly faults: readonly string[] };

/** Medians over the rounds. Times of one request in microseconds of CPU. */
export interface ValidRow {
  readonly kind: "valid";
  readonly name: string;
  readonly workload: string;
  readonly cpuUs: number;
  /** The cheapest and the dearest round. */
  readonly rangeUs: readonly [number, number];
  readonly userUs: number;
  readonly systemUs: number;
  /** Median of the rounds' ratios to the yardstick; `undefined` when the yardstick has no figures. */
  readonly ratio: number | undefined;
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
}

/** One row for each series. A single bad round makes its row invalid. */
export function summarize(all: readonly Series[], yardstick: string): Row[] {
  return all.map((series) => {
    const rounds = figuresOf(series);
    if (rounds === undefined)
      return { kind: "invalid", name: series.name, workload: series.workload, faults: faultsOf(series) };
    const reference = all.find(({ name, workload }) => name === yardstick && workload === series.workload);
    return validRow(series, rounds, reference && figuresOf(reference));
  });
}

/** The middle value, or the mean of the two middle ones. `NaN` of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

function validRow(
  { name, workload }: Series,
  rounds: readonly Figures[],
  reference: readonly Figures[] | undefined,
): ValidRow {
  const cpuUs = rounds.map(totalUs);
  return {
    kind: "valid",
    name,
    workload,
    cpuUs: median(cpuUs),
    rangeUs: [Math.min(...cpuUs), Math.max(...cpuUs)],
    userUs: median(rounds.map((round) => round.userUs)),
    systemUs: median(rounds.map((round) => round.systemUs)),
    // Round by round, because a machine's speed drifts and a round's neighbours drift alike.
    ratio: reference && median(rounds.map((round, index) => totalUs(round) / totalUs(reference[index] ?? round))),
    requestsPerSecond: median(rounds.map((round) => round.requestsPerSecond)),
    p99Ms: median(rounds.map((round) => round.p99Ms)),
  };
}

function totalUs(round: Figures): number {
  return round.userUs + round.systemUs;
}

/** The figures of all rounds; `undefined` when there are none, or not of all. */
function figuresOf({ samples }: Series): Figures[] | undefined {
  const figures = samples.filter((sample) => sample.kind === "figures");
  return figures.length > 0 && figures.length === samples.length ? figures : undefined;
}

function faultsOf({ samples }: Series): string[] {
  const faults = samples.flatMap((sample) => (sample.kind === "invalid" ? sample.faults : []));
  return faults.length > 0 ? [...new Set(faults)] : ["not measured"];
}
