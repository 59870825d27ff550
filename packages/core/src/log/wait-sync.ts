const nobody = new Int32Array(new SharedArrayBuffer(4));

/** Stops the whole thread: for where there is no other way to wait. */
export function waitSync(ms: number): void {
  Atomics.wait(nobody, 0, 0, ms);
}
