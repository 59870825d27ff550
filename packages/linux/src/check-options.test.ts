import { expect, test } from "vitest";
import { linuxHandover } from "./handover/linux-handover.ts";
import { receiveListeners } from "./handover/receive-listeners.ts";
import { sendListeners } from "./handover/send-listeners.ts";
import { LinuxError } from "./linux-error.ts";
import { setBufferSizes } from "./sockets/buffer-sizes.ts";
import { setKeepAlive } from "./sockets/keep-alive.ts";
import { openTcpSocket } from "./sockets/open-tcp-socket.ts";
import { tcpConnector } from "./sockets/tcp-connector.ts";
import { notifySystemd } from "./systemd/notify.ts";
import { reportToSystemd } from "./systemd/report-to-systemd.ts";

/** What the compiler refuses, without the compiler. */
const any = (value: unknown): never => value as never;
const server = { onPhase: () => () => undefined };

test.each<[call: () => unknown, message: string]>([
  [() => linuxHandover(any({ onErorr: () => 1 })), "a hand-over: unknown option onErorr; expected one of onError"],
  [() => linuxHandover(any({ onError: "warn" })), "a hand-over: onError must be a function, not string"],
  [() => linuxHandover(any(null)), "a hand-over: options must be an object, not null"],
  [() => tcpConnector(any({ fastopen: true })), "unknown option fastopen; expected one of fastOpen, typeOfService"],
  [() => tcpConnector(any({ fastOpen: "yes" })), "fastOpen must be true or false, not string"],
  [() => tcpConnector({ typeOfService: 256 }), "typeOfService must be a whole number from 0 to 255, not 256"],
  [() => tcpConnector(any({ keepAlive: true })), "setting TCP keep-alive: options must be an object, not true"],
  [() => tcpConnector(any({ sendBytes: "1" })), "sendBytes must be a whole number from 1 to 1073741823, not string"],
  [() => openTcpSocket(any("ipv5")), 'family must be "ipv4" or "ipv6", not ipv5'],
  [() => openTcpSocket("ipv4", any({ nodelay: true })), "opening a TCP socket: unknown option nodelay"],
  [
    () => setKeepAlive(0, any({ idleMs: 1 })),
    "setting TCP keep-alive: unknown option idleMs; expected one of idleSeconds",
  ],
  [() => setBufferSizes(0, any({ send: 1 })), "unknown option send; expected one of sendBytes, receiveBytes"],
  [() => notifySystemd(any({ redy: true }), {}), "telling systemd a state: unknown option redy; expected one of ready"],
  [() => notifySystemd(any({ ready: 1 }), {}), "ready must be true or false, not number"],
  [() => notifySystemd({ mainPid: -1 }, {}), "mainPid must be a whole number from 1 to 2147483647, not -1"],
  [() => notifySystemd(any({ status: 5 }), {}), "status must be a text, not number"],
  [() => notifySystemd(any({ watchdog: false }), {}), 'watchdog must be true or "trigger", not false'],
  [() => reportToSystemd(any({})), "reporting to systemd: the server must be one of @sluice/core, or have onPhase()"],
  [() => reportToSystemd(server, any({ onErr: 1 })), "unknown option onErr; expected one of onError, env"],
  [() => reportToSystemd(server, any({ onError: 1 })), "onError must be a function, not number"],
])("what cannot be is refused at once: %s", (call, message) => {
  expect(call).toThrow(LinuxError);
  expect(call).toThrow(message);
});

test.each<[call: () => Promise<unknown>, message: string]>([
  [() => receiveListeners("@none", any({ waitMS: 1 })), "unknown option waitMS; expected one of waitMs, transferMs"],
  [() => receiveListeners("@none", any({ allowedUids: 0 })), "allowedUids must be an array of whole numbers"],
  [() => receiveListeners("@none", any({ onRefused: 1 })), "onRefused must be a function, not number"],
  [() => sendListeners("@none", [], any({ serveMs: 1 })), "unknown option serveMs; expected one of connectMs"],
  [() => sendListeners("@none", [], any({ allowedUids: ["root"] })), "allowedUids must be an array of whole numbers"],
  [() => sendListeners("@none", [], any({ onRetry: true })), "onRetry must be a function, not true"],
])("and so is what is waited for: %s", async (call, message) => {
  await expect(call()).rejects.toThrow(message);
});
