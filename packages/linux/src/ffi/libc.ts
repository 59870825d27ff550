import { createRequire } from "node:module";
import type koffiModule from "koffi";
import { LinuxError } from "../linux-error.ts";

type Koffi = typeof koffiModule;

/** What is passed where C wants a pointer to memory. */
type Memory = NodeJS.TypedArray | null;

/** The calls of the C library that we use. As in C: -1 means that it failed, and then {@link Libc.errno} says why. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Memory, length: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: Memory, length: number): number;
  accept4(fd: number, address: Memory, length: Memory, flags: number): number;
  sendmsg(fd: number, message: Memory, flags: number): number;
  recvmsg(fd: number, message: Memory, flags: number): number;
  sendto(fd: number, bytes: Memory, length: number, flags: number, address: Memory, addressLength: number): number;
  getsockopt(fd: number, level: number, option: number, value: Memory, length: Memory): number;
  setsockopt(fd: number, level: number, option: number, value: Memory, length: number): number;
  getsockname(fd: number, address: Memory, length: Memory): number;
  getpeername(fd: number, address: Memory, length: Memory): number;
  fcntl(fd: number, command: number, argument: number): number;
  geteuid(): number;
  /** Of the last call; to be asked at once. */
  errno(): number;
  /** Where the bytes of `memory` are. It must stay in use for as long as C may look there. */
  addressOf(memory: NodeJS.TypedArray): bigint;
  /** Bytes of a pointer. */
  readonly wordSize: 4 | 8;
}

const PROTOTYPES = {
  socket: "int socket(int, int, int)",
  bind: "int bind(int, void *, uint32_t)",
  listen: "int listen(int, int)",
  connect: "int connect(int, void *, uint32_t)",
  accept4: "int accept4(int, void *, void *, int)",
  sendmsg: "intptr_t sendmsg(int, void *, int)",
  recvmsg: "intptr_t recvmsg(int, void *, int)",
  sendto: "intptr_t sendto(int, void *, size_t, int, void *, uint32_t)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  setsockopt: "int setsockopt(int, int, int, void *, uint32_t)",
  getsockname: "int getsockname(int, void *, void *)",
  getpeername: "int getpeername(int, void *, void *)",
  fcntl: "int fcntl(int, int, int)",
  geteuid: "uint32_t geteuid()",
} as const;

let loaded: Libc | LinuxError | undefined;

/**
 * Loaded at the first use, so that to import this package costs nothing and fails nowhere.
 * @throws LinuxError `ENOSYS` on another system, or where koffi has no binary for this one.
 */
export function libc(): Libc {
  loaded ??= load();
  if (loaded instanceof LinuxError) throw loaded;
  return loaded;
}

/** `undefined` when the calls of this package can be used, else the error that they would throw. */
export function whyUnavailable(): LinuxError | undefined {
  loaded ??= load();
  return loaded instanceof LinuxError ? loaded : undefined;
}

function load(): Libc | LinuxError {
  if (process.platform !== "linux") return unavailable(`this is ${process.platform}, not Linux`);
  try {
    return functionsOf(createRequire(import.meta.url)("koffi") as Koffi);
  } catch (cause) {
    // Behind the first line stands who has asked for it, at length.
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split("\n", 1);
    return unavailable(`koffi, which does it, could not be loaded on ${process.arch}: ${why}`, cause);
  }
}

function functionsOf(koffi: Koffi): Libc {
  // `null`: what this process is linked with, so that it is the same library for glibc and musl.
  const library = koffi.load(null);
  const functions = Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]);
  return {
    ...(Object.fromEntries(functions) as { [Name in keyof typeof PROTOTYPES]: Libc[Name] }),
    errno: () => koffi.errno(),
    addressOf: (memory) => koffi.address(memory),
    wordSize: koffi.sizeof("void *") === 4 ? 4 : 8,
  };
}

function unavailable(why: string, cause?: unknown): LinuxError {
  return new LinuxError("ENOSYS", "calling the C library", why, { cause });
}
