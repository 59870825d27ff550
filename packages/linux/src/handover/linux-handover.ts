import { checkOptions, checkType } from "../check-options.ts";
import { whyUnavailable } from "../ffi/libc.ts";
import { notifySystemd } from "../systemd/notify.ts";
import { warn } from "../systemd/report-to-systemd.ts";
import { receiveListeners } from "./receive-listeners.ts";
import { sendListeners } from "./send-listeners.ts";

/** The options of both sides, and what the new process gets; of the shape that `FdHandover` of `@sluice/core` asks for. */
export interface LinuxHandover {
  receive(
    sockPath: string,
    options: {
      readonly timeoutMs: number;
      readonly onListening?: () => void;
      readonly owner?: { readonly uid: number; readonly gid: number };
      readonly signal?: AbortSignal;
    },
  ): Promise<{
    readonly fds: ReadonlyMap<string, number>;
    readonly borrowed: readonly string[];
    serving(): Promise<void>;
    failed(reason: string): void;
  }>;
  send(
    sockPath: string,
    fds: ReadonlyMap<string, number>,
    options: {
      readonly connectMs: number;
      readonly servingMs: number;
      readonly borrowed?: readonly string[];
      readonly signal?: AbortSignal;
    },
  ): Promise<void>;
}

export interface LinuxHandoverOptions {
  /** Told of strangers who were sent away, and when systemd could not be told. Default: a warning of the process. */
  onError?: (error: unknown) => void;
}

/**
 * How a server of `@sluice/core` hands its listening sockets to the next: `new Server(conf, { handover: linuxHandover() })`.
 * On another system, and where koffi has no binary, each attempt fails with a LinuxError `ENOSYS`; the server goes on without.
 *
 * Under systemd the new process makes itself known as the main one before the old one may end (`NotifyAccess=all`).
 * @throws LinuxError `EINVAL` for an option that cannot be.
 */
export function linuxHandover(options: LinuxHandoverOptions = {}): LinuxHandover {
  const attempted = "preparing for a hand-over";
  checkOptions(attempted, options, ["onError"]);
  const { onError = warn } = options;
  checkType(attempted, "onError", onError, "function");
  // Now: when it is needed, the next version may already stand in the place of this one's files, or the account have changed.
  whyUnavailable();
  const becomeMain = (mainPid: number): void => {
    try {
      notifySystemd({ mainPid });
    } catch (error) {
      onError(error);
    }
  };
  return {
    async receive(sockPath, { timeoutMs, onListening, owner, signal }) {
      const received = await receiveListeners(sockPath, {
        waitMs: timeoutMs,
        allowedUids: owner === undefined ? [] : [owner.uid],
        onRefused: onError,
        ...(onListening === undefined ? {} : { onListening }),
        ...(signal === undefined ? {} : { signal }),
      });
      takeWatchdog(received.variables);
      return {
        borrowed: borrowedOf(received.variables),
        fds: new Map(received.listeners.map(({ address, fd }) => [address, fd])),
        serving: async () => {
          // With the old one its main process would be gone for systemd, and so the service.
          becomeMain(process.pid);
          try {
            await received.serving();
          } catch (error) {
            becomeMain(received.from.pid);
            throw error;
          }
        },
        failed: (reason) => void received.refuse(reason),
      };
    },
    async send(sockPath, fds, { connectMs, servingMs, borrowed = [], signal }) {
      const listeners = Array.from(fds, ([address, fd]) => ({ address, fd }));
      const { WATCHDOG_USEC } = process.env;
      const variables = {
        ...(WATCHDOG_USEC !== undefined && { WATCHDOG_USEC }),
        ...(borrowed.length > 0 && { [BORROWED]: JSON.stringify(borrowed) }),
      };
      await sendListeners(sockPath, listeners, { connectMs, servingMs, variables, ...(signal && { signal }) });
    },
  };
}

/** Not of the environment, but it goes the same way, and an older version that does not know it takes no harm. */
const BORROWED = "SLUICE_BORROWED";

function borrowedOf({ [BORROWED]: text }: Readonly<Record<string, string>>): readonly string[] {
  return text === undefined ? [] : (JSON.parse(text) as readonly string[]);
}

/**
 * systemd tells only a process that it starts as the main one how often it wants to hear from it; and it goes on wanting to, from
 * whoever is the main one next.
 */
function takeWatchdog({ WATCHDOG_USEC: us }: Readonly<Record<string, string>>): void {
  if (us !== undefined && /^\d+$/.test(us)) process.env["WATCHDOG_USEC"] ??= us;
}
