import { LinuxError } from "../linux-error.ts";
import { checkRange } from "../sockets/check-range.ts";
import { describeSocket } from "../sockets/describe-socket.ts";
import { isAddress, MAX_ADDRESS_LENGTH } from "./handover-frame.ts";

/** A listening socket that goes from one process to the next. */
export interface HandedListener {
  /** The name under which both know it: the address as it was configured. Any text; several may have the same. */
  readonly address: string;
  /** Its descriptor in this process. */
  readonly fd: number;
}

/** @throws LinuxError `EINVAL` naming what cannot be handed over. */
export function checkListener({ address, fd }: HandedListener, attempted: string): void {
  if (!isAddress(address)) {
    const why = `an address is a text of 1 to ${MAX_ADDRESS_LENGTH} characters, not ${JSON.stringify(address)?.slice(0, 60)}`;
    throw new LinuxError("EINVAL", attempted, why);
  }
  checkRange(attempted, `the descriptor of ${address}`, fd, 0, 0x7fff_ffff);
  checkListens({ address, fd }, attempted);
}

/** @throws LinuxError `EINVAL` for a descriptor that is no socket which listens, or is bound so that it can. */
export function checkListens({ address, fd }: HandedListener, attempted: string): void {
  const { type, listening, connected } = describeSocket(fd);
  if (type === "stream" && (listening || !connected)) return;
  throw new LinuxError("EINVAL", attempted, `descriptor ${fd} of ${address} is no socket that can listen`);
}
