import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { setBufferSizes } from "../../packages/linux/src/index.ts";
import { connectSocket } from "../../packages/proxy/test/support/leg-wires.ts";
import { readHead } from "../../packages/proxy/test/support/message.ts";
import { Wire, WireEnded } from "../../packages/proxy/test/support/wire.ts";
import { requestBytes, sendCut } from "./http1-messages.ts";
import { mayEnd, type Plan } from "./plan.ts";
import { random, type Below } from "./random.ts";
import type { World } from "./world.ts";

/** Requests that a client sends without waiting for an answer. */
const MAX_PIPELINED = 6;

/** A client of HTTP/1, which pipelines. */
export class Http1Client {
  readonly #world: World;
  readonly #port: number;
  readonly #bufferBytes: number;

  /** @param bufferBytes What the system keeps for it; 0: as much as it likes. */
  constructor(world: World, port: number, bufferBytes: number) {
    this.#world = world;
    this.#port = port;
    this.#bufferBytes = bufferBytes;
  }

  /** Makes the exchanges of so many seeds: some at a time, on as few connections as can be. */
  async play(first: number, count: number): Promise<void> {
    const below = random(first);
    let wire: Wire | undefined;
    for (let seed = first; seed < first + count;) {
      const group: Plan[] = [];
      const most = 1 + below(MAX_PIPELINED);
      while (group.length < most && seed < first + count) {
        const planned = this.#world.planOf(seed);
        if (isAlone(planned) && group.length > 0) break;
        group.push(planned);
        seed++;
        // What stands behind the end of the connection must get no answer, and must not be begun.
        if (planned.leaves !== undefined || (mayEnd(planned) && below(2) === 0)) break;
      }
      wire ??= await this.#connect();
      const { leaves } = group[0]!;
      const goesOn =
        leaves !== undefined
          ? await this.#leave(wire, group[0]!, leaves, below)
          : below(8) === 0
            ? await this.#halfClose(wire, group, below)
            : await this.#exchange(wire, group, below);
      if (goesOn && !mayEnd(group.at(-1)!)) continue;
      await wire[Symbol.asyncDispose]();
      wire = undefined;
    }
    await wire?.[Symbol.asyncDispose]();
  }

  async #connect(): Promise<Wire> {
    const { secured, socket } = await connectSocket(this.#world.leg, this.#port);
    if (this.#bufferBytes > 0) setBufferSizes(socket, { receiveBytes: this.#bufferBytes });
    return new Wire(secured);
  }

  async #exchange(wire: Wire, group: readonly Plan[], below: Below): Promise<boolean> {
    for (const planned of group) this.#world.begins(planned);
    const bytes = Buffer.concat(group.map(requestBytes));
    const sent = sendCut(wire, bytes, random(group[0]!.seed + 6));
    let goesOn = true;
    for (const planned of group) {
      if (!goesOn) {
        this.#world.isUnanswered(planned);
        continue;
      }
      const reads = below(3) === 0 ? this.#readsLate(wire, 1 + below(4)) : undefined;
      goesOn = await this.#answer(wire, planned);
      await reads;
    }
    if (!goesOn) wire.close();
    await sent;
    return goesOn;
  }

  /** Ends its direction behind its requests, by which it has left; but what was told as served it must get. */
  async #halfClose(wire: Wire, group: readonly Plan[], below: Below): Promise<false> {
    for (const planned of group) this.#world.begins(planned);
    const reads = below(2) === 0 ? this.#readsLate(wire, 1 + below(20)) : undefined;
    await sendCut(wire, Buffer.concat(group.map(requestBytes)), random(group[0]!.seed + 6));
    wire.end();
    this.#world.halfClosed(group);
    await reads;
    let goesOn = true;
    for (const planned of group) {
      if (goesOn) goesOn = await this.#answer(wire, planned);
      else this.#world.abandons(planned);
    }
    return false;
  }

  async #leave(wire: Wire, planned: Plan, where: NonNullable<Plan["leaves"]>, below: Below): Promise<false> {
    const bytes = requestBytes(planned);
    const all = where !== "in the upload";
    const part = all ? bytes : bytes.subarray(0, bytes.length - 1 - below(planned.request.body.length));
    this.#world.begins(planned);
    const sent = sendCut(wire, part, below);
    if (where === "in the answer") await readHead(wire).catch(() => undefined);
    else await sent;
    for (let turns = below(4); turns > 0; turns--) await setImmediate();
    this.#world.left(planned);
    if (below(2) === 0) wire.reset();
    else wire.close();
    await wire.whenClosed();
    await sent;
    return false;
  }

  async #readsLate(wire: Wire, ms: number): Promise<void> {
    wire.pause();
    await delay(ms);
    wire.resume();
  }

  /** Gives whether others may come behind it. */
  async #answer(wire: Wire, planned: Plan): Promise<boolean> {
    let interim = 0;
    try {
      for (;;) {
        const answer = await wire.message({ toHead: planned.method === "HEAD" });
        if (answer.status === 103) interim++;
        if (answer.status < 200) continue;
        this.#world.checkResponse(planned, answer, interim);
        return answer.field("connection") !== "close";
      }
    } catch (error) {
      // Cut by FIN in the middle, or, where the end of the connection is the end of the body, by a reset.
      if (!(error instanceof WireEnded) && !/was cut/.test(String(error))) throw error;
      this.#world.checkResponse(planned, { body: Buffer.alloc(0), error: String(error) }, interim);
      return false;
    }
  }
}

/** Has a connection of its own for what the client has not read yet: of others the end of the connection could take something. */
function isAlone({ isCut, leaves, version }: Plan): boolean {
  return leaves !== undefined || (isCut && version === "1.0");
}
