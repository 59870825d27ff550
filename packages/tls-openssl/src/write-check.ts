import { Duplex } from "node:stream";
import { connect, TLSSocket, type SecureContextOptions } from "node:tls";

/** Longer than a record, and than what is encrypted at a time. */
const BYTES = 40_000;

let taken = false;
let checking: Promise<boolean> | undefined;

/** Whether a TLS socket of Node has read all that it was given when its `_write` or `_writev` returns; `false` until that is known. */
export function takesAtOnce(): boolean {
  return taken;
}

/**
 * Finds it out, once in a process: Node encrypts or copies, but promises nothing. A connection in memory is given bytes that are
 * overwritten at once, before its handshake, alone and several together; what comes out at its other end tells. Never rejects.
 */
export function checkWrites(): Promise<boolean> {
  checking ??= whatComesOut().then(
    (bytes) => (taken = bytes.length === 4 * BYTES && bytes.every((byte) => byte === 0)),
    () => false,
  );
  return checking;
}

async function whatComesOut(): Promise<Buffer> {
  const [below, other] = pair();
  const psk = Buffer.alloc(16, 1);
  const options = { ...CONTEXT, pskCallback: () => psk };
  const near = new TLSSocket(below, { ...options, isServer: true });
  const far = connect({
    ...CONTEXT,
    socket: other,
    pskCallback: () => ({ psk, identity: "check" }),
    checkServerIdentity: () => undefined,
  });
  const failed = new Promise<never>((_resolve, reject) => {
    for (const socket of [near, far, below, other]) socket.on("error", reject);
  });
  const written = writeAndSpoil(near);
  const [, chunks] = await Promise.race([Promise.all([written, far.toArray()]), failed]);
  return Buffer.concat(chunks as Buffer[]);
}

async function writeAndSpoil(socket: TLSSocket): Promise<void> {
  // Before the handshake nothing can be encrypted.
  await spoilt(socket, 1);
  await spoilt(socket, 1);
  await spoilt(socket, 2);
  socket.end();
}

/** Writes so many pieces by one call of Node's, and overwrites them. */
function spoilt(socket: TLSSocket, count: number): Promise<void> {
  const pieces = Array.from({ length: count }, () => Buffer.alloc(BYTES));
  return new Promise((resolve) => {
    socket.cork();
    for (const [at, piece] of pieces.entries()) socket.write(piece, at === count - 1 ? () => resolve() : undefined);
    socket.uncork();
    for (const piece of pieces) piece.fill(1);
  });
}

/** No certificate is needed with a key that both know, nor the authorities, which take their time to be read. */
const CONTEXT: SecureContextOptions = {
  ca: [],
  ciphers: "PSK-AES128-GCM-SHA256",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
};

/** Two ends of a connection in memory. */
function pair(): [Duplex, Duplex] {
  const ends: Duplex[] = [0, 1].map(
    (at) =>
      new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          ends[1 - at]!.push(Buffer.from(chunk as Buffer));
          setImmediate(done);
        },
        final(done) {
          ends[1 - at]!.push(null);
          done();
        },
      }),
  );
  return ends as [Duplex, Duplex];
}
