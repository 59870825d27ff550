import { checkOptions, checkType } from "../check-options.ts";
import { closeAll } from "../ffi/message.ts";
import { acceptUnixSocket, type PeerCredentials } from "../ffi/unix-socket.ts";
import { errnoName, LinuxError } from "../linux-error.ts";
import { checkRange } from "../sockets/check-range.ts";
import { checkListens, type HandedListener } from "./handed-listener.ts";
import { HandoverConnection } from "./handover-connection.ts";
import { HANDOVER_VERSION, MAX_LISTENERS, type HandoverFrame, type Variables } from "./handover-frame.ts";
import { listenForHandover } from "./handover-socket.ts";
import { checkPeer, checkUids } from "./peer-check.ts";
import { ReceivedListeners } from "./received-listeners.ts";
import { limitOf, waitUntil, type Limit } from "./wait-until.ts";

export interface ReceiveListenersOptions {
  /** How long to wait for the old process. Milliseconds. Default 6000, as in Pingora. */
  waitMs?: number;
  /** How long the sockets may take to arrive, once the old process has come. Milliseconds. Default 10,000. */
  transferMs?: number;
  /** Users that the old process may belong to, besides that of this one and root. Default: none. */
  allowedUids?: readonly number[];
  /** Gives up. */
  signal?: AbortSignal;
  /** Called once it can be connected to; from now on the old process may be told to send. */
  onListening?: () => void;
  /** Told of each who came and was sent away; it is waited on for the right one. */
  onRefused?: (error: unknown) => void;
}

/**
 * Waits at `path` for the process that is to be replaced and takes its listening sockets. Call `serving()` on what it gives as soon
 * as this process serves, or `refuse()`: until then the old one goes on serving, too.
 * @param path A path, where a socket file of one who is gone is replaced, or `@name` in the abstract namespace. Only this user can
 *   connect to it, unless `allowedUids` names others.
 * @throws LinuxError `ETIMEDOUT` when nobody came, `EADDRINUSE` when another process waits there or a file is in the way; `EMFILE`
 *   when this process may not have that many descriptors; else what the system says. Nothing is left open then.
 */
export async function receiveListeners(
  path: string,
  options: ReceiveListenersOptions = {},
): Promise<ReceivedListeners> {
  const attempted = `waiting at ${path} for the process to take over from`;
  checkOptions(attempted, options, OPTION_NAMES);
  const { waitMs = 6000, transferMs = 10_000, allowedUids = [], signal } = options;
  checkRange(attempted, "waitMs", waitMs, 0, 0x7fff_ffff);
  checkRange(attempted, "transferMs", transferMs, 0, 0x7fff_ffff);
  checkUids(attempted, allowedUids);
  for (const name of ["onListening", "onRefused"] as const) checkType(attempted, name, options[name], "function");
  const waiting = listenForHandover(path, allowedUids, attempted);
  try {
    const limit = limitOf(waitMs, signal);
    options.onListening?.();
    for (;;) {
      const fd = await accept(waiting.fd, limit, attempted);
      const received = await tryReceive(fd, limitOf(transferMs, signal), allowedUids, path);
      if (received instanceof ReceivedListeners) return received;
      if (isFinal(received)) throw received;
      options.onRefused?.(received);
    }
  } finally {
    waiting.close();
  }
}

const OPTION_NAMES = ["waitMs", "transferMs", "allowedUids", "signal", "onListening", "onRefused"];

async function accept(listener: number, limit: Limit, attempted: string): Promise<number> {
  const look = (): number | undefined => {
    const result = acceptUnixSocket(listener);
    if (result >= 0) return result;
    // One who went away before we looked is none.
    if (["EAGAIN", "EWOULDBLOCK", "ECONNABORTED"].includes(errnoName(-result))) return undefined;
    throw LinuxError.fromErrno(-result, "accept4", attempted);
  };
  return await waitUntil(look, limit, attempted, "it; was it told to hand over?");
}

/** What would fail with anyone. */
function isFinal(error: unknown): boolean {
  return !(error instanceof LinuxError) || error.code === "EMFILE" || error.code === "ENFILE";
}

async function tryReceive(fd: number, limit: Limit, allowedUids: readonly number[], path: string): Promise<unknown> {
  const attempted = `taking listening sockets over at ${path}`;
  const connection = new HandoverConnection(fd, attempted);
  const listeners: HandedListener[] = [];
  let from: PeerCredentials;
  try {
    from = checkPeer(fd, allowedUids, attempted);
  } catch (error) {
    connection.close();
    return error;
  }
  try {
    const variables = await receiveAll(connection, listeners, limit, attempted);
    await connection.send({ type: "received", count: listeners.length }, [], limit);
    return new ReceivedListeners(connection, listeners, variables, from, attempted);
  } catch (error) {
    closeAll(listeners.map((listener) => listener.fd));
    const reason = error instanceof Error ? error.message : String(error);
    await connection.send({ type: "refused", reason }, [], limitOf(0, undefined)).catch(() => undefined);
    connection.close();
    return error;
  }
}

/** Into `listeners`, so that they can be closed when it fails half-way. Returns the variables that came along. */
async function receiveAll(
  connection: HandoverConnection,
  listeners: HandedListener[],
  limit: Limit,
  attempted: string,
): Promise<Variables> {
  const hello = await connection.receive(limit, "the old process to begin");
  if (hello.type !== "hello") throw unexpected(hello, attempted);
  if (hello.version !== HANDOVER_VERSION) {
    const why = `the old process speaks version ${hello.version} of the hand-over, this one ${HANDOVER_VERSION}`;
    throw new LinuxError("EPROTO", attempted, why);
  }
  if (hello.count > MAX_LISTENERS) throw unexpected(hello, attempted);
  while (listeners.length < hello.count) {
    const frame = await connection.receive(limit, "the old process to send its sockets");
    if (frame.type !== "listeners" || frame.addresses.length === 0) throw unexpected(frame, attempted);
    const descriptors = connection.takeDescriptors(frame.addresses.length);
    for (const [i, address] of frame.addresses.entries()) listeners.push({ address, fd: descriptors[i]! });
  }
  if (listeners.length > hello.count) throw unexpected(hello, attempted);
  for (const listener of listeners) checkListens(listener, attempted);
  return hello.variables ?? {};
}

function unexpected(frame: HandoverFrame, attempted: string): LinuxError {
  return new LinuxError(
    "EPROTO",
    attempted,
    `the old process sent an unexpected ${JSON.stringify(frame).slice(0, 60)}`,
  );
}
