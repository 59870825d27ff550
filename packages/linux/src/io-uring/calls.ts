import { createRequire } from "node:module";
import { arch } from "node:process";
import { isMainThread } from "node:worker_threads";
import type koffiModule from "koffi";
import { LinuxError } from "../linux-error.ts";
import {
  MAP_ANONYMOUS,
  MAP_RING,
  PROT_READ_WRITE,
  SYS_IO_URING_ENTER,
  SYS_IO_URING_REGISTER,
  SYS_IO_URING_SETUP,
  UV_POLL,
  UV_READABLE,
} from "./abi.ts";

type Koffi = typeof koffiModule;

type NativeFunction = ReturnType<NativeCalls["define"]>;

/** Memory of the system's, as we see it. */
interface Mapped {
  readonly view: ArrayBuffer;
  readonly address: number;
}

/** Wakes us when a descriptor is readable, as libuv wakes a socket of Node's. */
export interface Waker {
  /** Whether it keeps the process alive. At first it does not. */
  ref(): void;
  unref(): void;
}

/** What a C function is given and gives: addresses are numbers, or the bytes that are there. */
export type NativeValue = number | bigint | string | Uint8Array | null | void;

/** Functions of this program that Node.js has no name for. A mistake in their use is the end of the process. */
export interface NativeCalls {
  /**
   * @param types By the names of koffi; `intptr` for an address as a number, `void *` for bytes.
   * @throws Error where there is no such function.
   */
  define(name: string, result: string, types: readonly string[]): (...values: NativeValue[]) => NativeValue;
  /**
   * The address of a function that calls `call`, for as long as the process lives. It is called within a call of ours, and must not throw.
   * @param prototype In C, named: `int on_data(void *, int)`.
   */
  callback(prototype: string, call: (...values: number[]) => NativeValue): number;
}

/** The calls that io_uring needs. Addresses are numbers: 48 bits of them are in use. */
export interface Calls {
  /** @returns The descriptor; negative: it failed, see {@link errno}. */
  setup(entries: number, params: Uint32Array): number;
  /** @returns How many entries were taken; negative: none. */
  enter(fd: number, submit: number, flags: number): number;
  register(fd: number, operation: number, argument: BigUint64Array, count: number): number;
  mapRing(fd: number, offset: number, length: number): Mapped;
  allocate(length: number): Mapped;
  addressOf(memory: ArrayBufferLike): number;
  watch(fd: number, onReadable: () => void): Waker;
  /** What Node does behind every event: microtasks, and what waits for the next tick. */
  readonly tick: () => void;
  shutdown(fd: number, how: number): void;
  readonly native: NativeCalls;
  errno(): number;
}

/** @throws LinuxError `ENOSYS` where they cannot be made. */
export function loadCalls(): Calls {
  if (process.platform !== "linux") throw unavailable("it is Linux's");
  // The order of bytes, and two halves to a pointer.
  if (!["x64", "arm64", "riscv64"].includes(arch)) throw unavailable(`it was not tried on ${arch}`);
  if (!isMainThread) throw unavailable("it is for the main thread of a process");
  const tick = (process as unknown as { _tickCallback?: () => void })._tickCallback;
  if (typeof tick !== "function") throw unavailable("this Node.js does not give process._tickCallback");
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)("koffi") as Koffi;
    return callsOf(koffi, tick);
  } catch (cause) {
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split("\n", 1);
    throw unavailable(`koffi, which does it, could not be used: ${why}`, cause);
  }
}

function callsOf(koffi: Koffi, tick: () => void): Calls {
  // `null`: this program, with the C library and libuv.
  const library = koffi.load(null);
  const onPoll = koffi.proto("void sluice_on_poll(void *, int, int)");
  const setup = library.func("syscall", "long", ["long", "long", "void *"]);
  const enter = library.func("syscall", "long", ["long", "long", "long", "long", "long", "void *", "long"]);
  const register = library.func("syscall", "long", ["long", "long", "long", "void *", "long"]);
  const mmap = library.func("void *mmap(void *, size_t, int, int, int, long)");
  const shutdown = library.func("int shutdown(int, int)");
  const defaultLoop = library.func("void *uv_default_loop()");
  const handleSize = library.func("size_t uv_handle_size(int)");
  const pollInit = library.func("int uv_poll_init(void *, void *, int)");
  const pollStart = library.func("int uv_poll_start(void *, int, sluice_on_poll *)");
  const ref = library.func("void uv_ref(void *)");
  const unref = library.func("void uv_unref(void *)");

  const prototypes = new Map<string, ReturnType<Koffi["pointer"]>>();
  /** Memory stays where it is for as long as it is some. */
  const addresses = new WeakMap<ArrayBufferLike, number>();
  const map = (flags: number, fd: number, offset: number, length: number): Mapped => {
    const pointer: unknown = mmap(null, length, PROT_READ_WRITE, flags, fd, offset);
    const address = Number(koffi.address(pointer));
    // MAP_FAILED is -1.
    if (address <= 0 || address > Number.MAX_SAFE_INTEGER) throw unavailable(`mmap: errno ${koffi.errno()}`);
    return { view: koffi.view(pointer, length), address };
  };
  return {
    setup: (entries, params) => Number(setup(SYS_IO_URING_SETUP, entries, params)),
    enter: (fd, submit, flags) => enter(SYS_IO_URING_ENTER, fd, submit, 0, flags, null, 0) as number,
    register: (fd, operation, argument, count) =>
      Number(register(SYS_IO_URING_REGISTER, fd, operation, argument, count)),
    mapRing: (fd, offset, length) => map(MAP_RING, fd, offset, length),
    allocate: (length) => map(MAP_ANONYMOUS, -1, 0, length),
    addressOf(memory) {
      let address = addresses.get(memory);
      if (address === undefined) {
        address = Number(koffi.address(new Uint8Array(memory)));
        addresses.set(memory, address);
      }
      return address;
    },
    watch(fd, onReadable) {
      // libuv keeps its handle in it for as long as the process lives.
      const handle = Buffer.alloc(Number(handleSize(UV_POLL)));
      watched.push(handle);
      if (pollInit(defaultLoop(), handle, fd) !== 0) throw unavailable("libuv cannot watch it");
      const callback = koffi.register(onReadable, koffi.pointer(onPoll));
      if (pollStart(handle, UV_READABLE, callback) !== 0) throw unavailable("libuv cannot watch it");
      unref(handle);
      return { ref: () => void ref(handle), unref: () => void unref(handle) };
    },
    tick,
    native: {
      define: (name, result, types) => library.func(name, result, [...types]) as NativeFunction,
      callback(prototype, call) {
        let type = prototypes.get(prototype);
        if (type === undefined) prototypes.set(prototype, (type = koffi.pointer(koffi.proto(prototype))));
        return Number(koffi.address(koffi.register(call, type)));
      },
    },
    shutdown: (fd, how) => void shutdown(fd, how),
    errno: () => koffi.errno(),
  };
}

/** Never to be collected. */
const watched: Buffer[] = [];

export function unavailable(why: string, cause?: unknown): LinuxError {
  return new LinuxError("ENOSYS", "using io_uring", why, { cause });
}
