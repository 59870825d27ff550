import type { Socket } from "node:net";
import { ProxyError } from "@sluice/error";
import { connectionChannels, type ConnectionRejectedMessage } from "../diagnostics.ts";
import { logger } from "../log/logger.ts";
import { Roster, type RosterMember } from "../net/roster.ts";
import { SocketAddress } from "../net/socket-address.ts";
import type { AcceptFilter } from "./accept-filter.ts";
import type { ConnectionLimit, ConnectionLimits } from "./connection-limits.ts";

/** How long a client waits for a filter: one that never decides would keep sockets for ever. */
const MAX_DECISION_MS = 60_000;

/** An IPv4 address as IPv6 sockets show it (RFC 4291, section 2.5.5.2). */
const MAPPED_IPV4 = /^::ffff:(?=[\d.]+$)/i;

const log = logger("core");
const { rejected } = connectionChannels;

/** Somebody at the door. */
interface Caller extends RosterMember {
  readonly socket: Socket;
  /** `undefined` on a Unix socket. */
  readonly client: SocketAddress | undefined;
  /** Where it was accepted. */
  readonly listener: SocketAddress;
  readonly letIn: LetIn;
  /** Gives its place back; `undefined` where nobody counts. */
  readonly release: (() => void) | undefined;
  /** Decides if the filter does not in time. */
  timer: NodeJS.Timeout | undefined;
}

/** @param release To be called when the socket is closed; `undefined` where nobody counts. */
type LetIn = (socket: Socket, release?: () => void) => void;

/** Lets clients in, or not. One for all listeners of a service. */
export class AcceptGate {
  /** Asked first, then the listener's own. */
  filter: AcceptFilter | undefined = undefined;
  /** Connections that came, whatever became of them. */
  acceptedCount = 0;
  /** Those that were refused. */
  refusedCount = 0;
  /** Those about whom a filter has not decided yet. */
  readonly #waiting = new Roster<Caller>();
  readonly #onNoneWaits: () => void;
  readonly #service: string;

  /**
   * @param onNoneWaits Called when the last of those who waited for a filter was let in or closed.
   * @param service Whose it is, for those who listen to what it does.
   */
  constructor(onNoneWaits: () => void = () => undefined, service: string = "") {
    this.#onNoneWaits = onNoneWaits;
    this.#service = service;
  }

  /** How many wait for a filter. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /**
   * Calls `letIn` for a socket that may come in, now or later, and closes any other.
   * @param socket Accepted, paused, without listeners.
   * @param own The listener's filter.
   * @param listener Where it was accepted.
   * @param limits Asked before any filter.
   */
  pass(
    socket: Socket,
    own: AcceptFilter | undefined,
    listener: SocketAddress,
    letIn: LetIn,
    limits?: ConnectionLimits,
  ): void {
    this.acceptedCount++;
    const unfiltered = own === undefined && this.filter === undefined;
    if (unfiltered && limits === undefined) {
      letIn(socket);
      return;
    }
    const client = clientOf(socket);
    const place = limits?.admit(client);
    const who = { socket, client, listener, letIn, timer: undefined, rosterPlace: -1 };
    if (typeof place === "string") this.#refuse({ ...who, release: undefined }, place);
    else if (unfiltered) letIn(socket, place);
    else this.#ask(own, { ...who, release: place });
  }

  /** Closes those who wait. */
  closeWaiting(): void {
    for (const caller of this.#waiting) {
      this.#settle(caller, () => {
        caller.socket.destroy();
        caller.release?.();
        this.#publish(caller, "server-stop");
      });
    }
  }

  #ask(own: AcceptFilter | undefined, caller: Caller): void {
    const { client, listener } = caller;
    if (client === undefined && listener.path === undefined) {
      // Not asked about: `undefined` stands for Unix sockets, whose clients are often trusted.
      this.#refuse(caller, "no-address");
      return;
    }
    let verdict: boolean | Promise<boolean>;
    try {
      verdict = decide(this.filter, own, client);
    } catch (error) {
      this.#refuseFor(error, caller);
      return;
    }
    if (verdict === true) caller.letIn(caller.socket, caller.release);
    else if (verdict === false) this.#refuse(caller, "filter");
    else this.#await(verdict, caller);
  }

  #await(verdict: Promise<boolean>, caller: Caller): void {
    const onLate = (): void => {
      const late = ProxyError.internal("InternalError", `it has not decided within ${MAX_DECISION_MS} ms`);
      this.#settle(caller, () => this.#refuseFor(late, caller));
    };
    caller.timer = setTimeout(onLate, MAX_DECISION_MS).unref();
    this.#waiting.add(caller);
    verdict.then(
      (yes) => {
        const act = (): void => (yes ? caller.letIn(caller.socket, caller.release) : this.#refuse(caller, "filter"));
        this.#settle(caller, act);
      },
      (error: unknown) => this.#settle(caller, () => this.#refuseFor(error, caller)),
    );
  }

  /** Does `what` with one who waits; nothing with one who does no longer. */
  #settle(caller: Caller, what: () => void): void {
    if (!this.#waiting.delete(caller)) return;
    clearTimeout(caller.timer);
    what();
    if (this.#waiting.size === 0) this.#onNoneWaits();
  }

  #refuse(caller: Caller, reason: "filter" | "no-address" | ConnectionLimit): void {
    this.#close(caller);
    log.debug(fieldsOf(caller), "refused a connection");
    this.#publish(caller, reason);
  }

  #refuseFor(error: unknown, caller: Caller): void {
    this.#close(caller);
    log.error({ ...fieldsOf(caller), err: error }, "an accept filter failed; refused the connection");
    this.#publish(caller, "filter-failed", error);
  }

  #publish({ client, listener }: Caller, reason: ConnectionRejectedMessage["reason"], error?: unknown): void {
    if (!rejected.hasSubscribers) return;
    rejected.publish({ service: this.#service, client: client?.text, listener: listener.text, reason, error });
  }

  #close({ socket, release }: Caller): void {
    this.refusedCount++;
    release?.();
    socket.destroy();
  }
}

function clientOf({ remoteAddress, remotePort }: Socket): SocketAddress | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return SocketAddress.ip(remoteAddress.replace(MAPPED_IPV4, ""), remotePort);
}

function fieldsOf({ client, listener }: Caller): object {
  return { client: client?.text, listener: listener.text };
}

/** Both must say yes; the second is asked only if the first does. */
function decide(
  first: AcceptFilter | undefined,
  second: AcceptFilter | undefined,
  client: SocketAddress | undefined,
): boolean | Promise<boolean> {
  const verdict = first === undefined || checked(first(client));
  if (second === undefined || verdict === false) return verdict;
  if (verdict === true) return checked(second(client));
  return verdict.then((yes) => yes && checked(second(client)));
}

/** A filter that forgot to return something must let nobody in. */
function checked(answer: unknown): boolean | Promise<boolean> {
  if (typeof answer === "boolean") return answer;
  if (typeof answer === "object" && answer !== null && "then" in answer) {
    return Promise.resolve(answer as PromiseLike<unknown>).then(mustBeBoolean);
  }
  return mustBeBoolean(answer);
}

function mustBeBoolean(answer: unknown): boolean {
  if (typeof answer === "boolean") return answer;
  const got = answer === null ? "null" : typeof answer;
  throw new TypeError(`an accept filter must give true or false, or a promise of it; it gave ${got}`);
}
