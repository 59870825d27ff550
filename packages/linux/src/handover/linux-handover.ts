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
    },
  ): Promise<{ readonly fds: ReadonlyMap<string, number>; serving(): Promise<void>; failed(reason: string): void }>;
  send(
    sockPath: string,
    fds: ReadonlyMap<string, number>,
    options: { readonly connectMs: number; readonly servingMs: number },
  ): Promise<void>;
}

/**
 * How a server of `@sluice/core` hands its listening sockets to the next: `new Server(conf, { handover: linuxHandover() })`.
 * On another system, and where koffi has no binary, each attempt fails with a LinuxError `ENOSYS`; the server goes on without.
 */
export function linuxHandover(): LinuxHandover {
  return {
    async receive(sockPath, { timeoutMs, onListening, owner }) {
      const received = await receiveListeners(sockPath, {
        waitMs: timeoutMs,
        allowedUids: owner === undefined ? [] : [owner.uid],
        ...(onListening === undefined ? {} : { onListening }),
      });
      return {
        fds: new Map(received.listeners.map(({ address, fd }) => [address, fd])),
        serving: async () => void (await received.serving()),
        failed: (reason) => void received.refuse(reason),
      };
    },
    async send(sockPath, fds, { connectMs, servingMs }) {
      const listeners = Array.from(fds, ([address, fd]) => ({ address, fd }));
      await sendListeners(sockPath, listeners, { connectMs, servingMs });
    },
  };
}
