import { checkOptions, checkType } from "../check-options.ts";
import { connectUnixSocket, type PeerCredentials } from "../ffi/unix-socket.ts";
import { LinuxError } from "../linux-error.ts";
import { checkRange } from "../sockets/check-range.ts";
import { checkListener, type HandedListener } from "./handed-listener.ts";
import { HandoverConnection, messagesOf } from "./handover-connection.ts";
import { HANDOVER_VERSION, MAX_LISTENERS, type HandoverFrame, type Variables } from "./handover-frame.ts";
import { checkPeer, checkUids } from "./peer-check.ts";
import { limitOf, pause, type Limit } from "./wait-until.ts";

export interface SendListenersOptions {
  /** How long to try, while the new process does not wait there yet. Milliseconds. Default 5000, as in Pingora; 0: once. */
  connectMs?: number;
  /** How long the sockets may take to arrive. Milliseconds. Default 10,000. */
  transferMs?: number;
  /** How long the new process may take from then until it serves. Milliseconds. Default 60,000. */
  servingMs?: number;
  /** Users that the new process may belong to, besides that of this one and root. Default: none. */
  allowedUids?: readonly number[];
  /** What the new process is to know of this one's environment; it gets them by name. Default: none. */
  variables?: Readonly<Record<string, string>>;
  /** Gives up. */
  signal?: AbortSignal;
  /** Told each time that it will be tried again. */
  onRetry?: (error: LinuxError) => void;
}

/**
 * Hands listening sockets to a new process that waits for them with `receiveListeners`, and waits until it serves on them. Then,
 * and only then, may this process stop accepting. The descriptors stay open here; both processes accept from the same queue.
 * @param path Where the new process waits: a path, or `@name` in the abstract namespace.
 * @returns Who has taken over.
 * @throws LinuxError when it did not come to that, after which this process is to go on serving: `ENOENT`, `ECONNREFUSED` or
 *   `EACCES` when nobody waits there in time, `EPERM` when it is another user, `ETIMEDOUT`, `ECONNRESET` when it went
 *   away, `ECANCELED` with its reason when it cannot serve, `EINVAL` for what is no listening socket.
 */
export async function sendListeners(
  path: string,
  listeners: readonly HandedListener[],
  options: SendListenersOptions = {},
): Promise<PeerCredentials> {
  const attempted = `handing ${listeners.length} listening sockets over at ${path}`;
  checkOptions(attempted, options, OPTION_NAMES);
  const {
    connectMs = 5000,
    transferMs = 10_000,
    servingMs = 60_000,
    allowedUids = [],
    variables = {},
    signal,
  } = options;
  checkRange(attempted, "connectMs", connectMs, 0, 0x7fff_ffff);
  checkRange(attempted, "transferMs", transferMs, 0, 0x7fff_ffff);
  checkRange(attempted, "servingMs", servingMs, 0, 0x7fff_ffff);
  checkUids(attempted, allowedUids);
  checkType(attempted, "onRetry", options.onRetry, "function");
  if (listeners.length > MAX_LISTENERS) {
    throw new LinuxError("EINVAL", attempted, `at most ${MAX_LISTENERS} are possible`);
  }
  for (const listener of listeners) checkListener(listener, attempted);
  const fd = await connectInTime(path, limitOf(connectMs, signal), attempted, options.onRetry);
  const connection = new HandoverConnection(fd, attempted);
  try {
    const peer = checkPeer(fd, allowedUids, attempted);
    await transfer(connection, listeners, variables, limitOf(transferMs, signal), attempted);
    await awaitServing(connection, limitOf(servingMs, signal), attempted);
    return peer;
  } finally {
    connection.close();
  }
}

const OPTION_NAMES = ["connectMs", "transferMs", "servingMs", "allowedUids", "variables", "signal", "onRetry"];

/** The new process is not there yet, or has not made the socket its own yet. */
const MAY_COME: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED", "EACCES", "EAGAIN"]);
const RETRY_MS = 200;

async function connectInTime(
  path: string,
  { endsAtMs, signal }: Limit,
  attempted: string,
  onRetry: SendListenersOptions["onRetry"],
): Promise<number> {
  for (;;) {
    signal?.throwIfAborted();
    const result = connectUnixSocket(path, attempted);
    if (result >= 0) return result;
    const error = LinuxError.fromErrno(-result, "connect", attempted);
    if (!MAY_COME.has(error.code) || performance.now() + RETRY_MS > endsAtMs) throw error;
    onRetry?.(error);
    await pause(RETRY_MS, signal);
  }
}

async function transfer(
  connection: HandoverConnection,
  listeners: readonly HandedListener[],
  variables: Variables,
  limit: Limit,
  attempted: string,
): Promise<void> {
  await connection.send({ type: "hello", version: HANDOVER_VERSION, count: listeners.length, variables }, [], limit);
  for (const part of messagesOf(listeners)) {
    const addresses = part.map(({ address }) => address);
    await connection.send(
      { type: "listeners", addresses },
      part.map(({ fd }) => fd),
      limit,
    );
  }
  const answer = await connection.receive(limit, "the new process to take the sockets");
  if (answer.type === "received" && answer.count === listeners.length) return;
  throw refusal(answer, attempted);
}

/** The answer lets the new process know whether it is alone from now on. */
async function awaitServing(connection: HandoverConnection, limit: Limit, attempted: string): Promise<void> {
  try {
    const answer = await connection.receive(limit, "the new process to serve");
    if (answer.type !== "serving") throw refusal(answer, attempted);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    await connection.send({ type: "refused", reason }, [], limitOf(0, undefined)).catch(() => undefined);
    throw error;
  }
  await connection.send({ type: "draining" }, [], limitOf(FAREWELL_MS, undefined)).catch(() => undefined);
}

/** A line that is nearly always written at once, and whose loss changes nothing. */
const FAREWELL_MS = 1000;

function refusal(answer: HandoverFrame, attempted: string): LinuxError {
  if (answer.type === "refused") {
    return new LinuxError("ECANCELED", attempted, `the new process refused: ${answer.reason}`);
  }
  return new LinuxError(
    "EPROTO",
    attempted,
    `the new process sent an unexpected ${JSON.stringify(answer).slice(0, 60)}`,
  );
}
