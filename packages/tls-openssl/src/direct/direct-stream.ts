import { EventEmitter } from "node:events";
import type { SecureContext } from "node:tls";
import type { ByteStream, SocketReader, TransportStream } from "@sluice/core";
import { RECORD_BYTES } from "../adopted-tls-socket.ts";
import type { HandshakeAsker, HandshakeSettings } from "./handshake-callbacks.ts";
import type { ByteReceiver } from "./native-transport.ts";
import {
  SSL_ERROR_SSL,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_WANT_X509_LOOKUP,
  SSL_ERROR_ZERO_RETURN,
} from "./openssl-calls.ts";
import type { TlsEngine } from "./tls-engine.ts";

/** So much may wait for a certificate to be chosen. */
const MAX_EARLY_BYTES = 65_536;
/** Each answer is 27 bytes, asked for by as many: a peer that does not read them could have us keep any number. */
const MAX_ANSWERED_BYTES = 65_536;

type Taken = (error?: Error | null) => void;

/** Whoever waits for a handshake: hears of its end once. */
export interface DirectWaiter {
  onSecure(): void;
  /** OpenSSL waits for a certificate: {@link DirectStream.goOn}. Once. */
  onCertificateWanted(): void;
  /** OpenSSL does not go on, and the alert that says why was written. */
  onRefused(error: Error): void;
  /** The connection is over. */
  onClosed(error: Error | undefined): void;
}

const STREAM = Symbol("sluice.directStream");

/** What carries a connection, and knows whose it is. */
type Below = TransportStream & {
  [STREAM]?: DirectStream;
  readonly _handle?: object | null;
  resetAndDestroy?(): unknown;
};

/** What is held by `cork`. */
interface Held {
  readonly chunk: Uint8Array | string;
  readonly taken: Taken | undefined;
}

/**
 * TLS on a connection that a transport carries, by calls to OpenSSL: what comes is decrypted when it comes, what is written is encrypted at
 * once. A `ByteStream` of `@sluice/core`, whose bytes come by its `SocketReader`.
 */
export class DirectStream extends EventEmitter implements ByteStream, ByteReceiver, HandshakeAsker {
  /** For those who would look into its descriptor. */
  readonly encrypted = true;
  destroyed = false;
  truncated = false;
  bytesRead = 0;
  bytesWritten = 0;
  /** Chosen in the handshake. */
  alpn: string | undefined = undefined;
  /** A response is stapled. */
  ocsp = false;
  /** A certificate is chosen: OpenSSL asks again, and once more of a client that has to send its first message twice. */
  chosen = false;
  waiter: DirectWaiter | undefined = undefined;
  /** Node's part of the context, which OpenSSL may ask in the handshake: not to be collected before. */
  secureContext: SecureContext | undefined;
  /** Makes errors of TLS behind the handshake those that the stream reports. */
  onTlsError: (error: Error) => Error = (error) => error;
  readonly settings: HandshakeSettings;
  readonly #engine: TlsEngine;
  readonly #reader: SocketReader;
  /** 0: freed. */
  #ssl: number;
  #below!: Below;
  #error: Error | undefined = undefined;
  #secure = false;
  #choosing = false;
  #paused = false;
  /** Somebody reads: nothing is told before. */
  #flowing = false;
  /** What came and is not decrypted: it was paused, or waits for a certificate. */
  #rest: Buffer | undefined = undefined;
  /** The connection has ended behind that. */
  #belowEnded = false;
  /** The peer has said that it ends its direction. */
  #peerEnded = false;
  #endTold = false;
  #ended = false;
  #finished = false;
  /** What OpenSSL said to what it had read, since all has left. */
  #answeredBytes = 0;
  #corked = 0;
  /** Somebody was asked to wait for `drain` while it was held. */
  #wantsDrain = false;
  #held: Held[] | undefined = undefined;
  #heldBytes = 0;

  /** @param ssl Of the engine. It belongs to the stream. */
  constructor(
    engine: TlsEngine,
    settings: HandshakeSettings,
    ssl: number,
    secureContext: SecureContext,
    reader: SocketReader,
  ) {
    super();
    nameEvents(this);
    this.secureContext = secureContext;
    this.#engine = engine;
    this.settings = settings;
    this.#ssl = ssl;
    this.#reader = reader;
    reader.attach(this);
  }

  /** Begins. @param below Gives what it receives to this. */
  start(below: TransportStream): void {
    this.#below = below;
    this.#below[STREAM] = this;
    below.on("end", onEnd);
    below.on("drain", onDrain);
    below.on("finish", onFinish);
    below.on("error", onError);
    below.on("close", onClose);
    below.resume();
  }

  /** Address of OpenSSL's connection; 0: it is gone. */
  get ssl(): number {
    return this.#ssl;
  }

  /** The stream below, to be written to without TLS. */
  get below(): TransportStream {
    return this.#below;
  }

  get _handle(): object | null {
    return this.#below._handle ?? null;
  }

  get errored(): Error | null {
    return this.#error ?? this.#below.errored ?? null;
  }

  get writableLength(): number {
    return this.#heldBytes + this.#below.writableLength;
  }

  /** What is written is encrypted at once, unless it is held. */
  get lentLength(): number {
    return this.#heldBytes;
  }

  get remoteAddress(): string | undefined {
    return this.#below.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#below.remotePort;
  }

  get localAddress(): string | undefined {
    return this.#below.localAddress;
  }

  get localPort(): number | undefined {
    return this.#below.localPort;
  }

  ref(): this {
    this.#below.ref?.();
    return this;
  }

  unref(): this {
    this.#below.unref?.();
    return this;
  }

  received(buffer: Buffer, bytes: number): Buffer {
    if (this.destroyed || this.#ssl === 0 || this.#endTold || this.#peerEnded) return buffer;
    if (this.#rest !== undefined || this.#choosing) {
      this.#keep(Buffer.from(buffer.subarray(0, bytes)));
      return buffer;
    }
    this.#engine.feed(buffer, bytes);
    this.#use();
    return buffer;
  }

  #keep(bytes: Buffer): void {
    this.#rest = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes]);
    // Whoever chooses may take his time, and the client go on.
    if (this.#choosing && this.#rest.length > MAX_EARLY_BYTES) this.#below.pause();
  }

  /** Uses what OpenSSL was fed with. */
  #use(): void {
    if (this.#secure || this.#shakeHands()) this.#read();
  }

  /** Returns whether the handshake is done, and OpenSSL fed with what came behind it. */
  #shakeHands(): boolean {
    const engine = this.#engine;
    const { calls, callbacks } = engine;
    // What others have left there would be taken for ours.
    calls.clearErrors();
    callbacks.asker = this;
    const done = calls.doHandshake(this.#ssl);
    callbacks.asker = undefined;
    const why = done === 1 ? 0 : calls.getError(this.#ssl, done);
    const error = why === SSL_ERROR_SSL ? calls.takeError() : undefined;
    // Others may use both ends as soon as something is sent, or somebody told.
    if (engine.hasInput) this.#keep(engine.takeInput());
    this.#send();
    if (done === 1) {
      this.#secure = true;
      this.secureContext = undefined;
      this.#settle()?.onSecure();
      return this.#takeRest();
    }
    if (why === SSL_ERROR_WANT_X509_LOOKUP) {
      this.#choosing = true;
      this.waiter?.onCertificateWanted();
    } else if (error !== undefined) this.refuse(error);
    else if (why !== SSL_ERROR_WANT_READ) this.destroy();
    return false;
  }

  /** Feeds OpenSSL with what came before and was not used; returns whether there is some. */
  #takeRest(): boolean {
    const rest = this.#rest;
    if (rest === undefined || this.destroyed || this.#ssl === 0) return false;
    this.#rest = undefined;
    this.#engine.feed(rest);
    return true;
  }

  /** The handshake is refused, and what says so to the client was written: what comes is dropped. */
  refuse(error: Error): void {
    this.#endTold = true;
    this.#rest = undefined;
    this.#settle()?.onRefused(error);
  }

  #settle(): DirectWaiter | undefined {
    const { waiter } = this;
    this.waiter = undefined;
    return waiter;
  }

  /** A certificate is chosen. */
  goOn(): void {
    if (!this.#choosing || this.#ssl === 0) return;
    this.#choosing = false;
    this.#takeRest();
    this.chosen = true;
    this.#use();
    if (this.#belowEnded) this.#tellBelowEnd();
    else this.#below.resume();
  }

  #read(): void {
    const engine = this.#engine;
    const { calls } = engine;
    for (;;) {
      const plain = engine.takePlain();
      calls.clearErrors();
      let at = 0;
      let bytes: number;
      let more: boolean;
      do {
        bytes = calls.read(this.#ssl, at === 0 ? plain : plain.subarray(at), plain.length - at);
        if (bytes > 0) at += bytes;
        more = bytes > 0 && engine.hasInput;
      } while (more && plain.length - at >= RECORD_BYTES);
      const why = bytes > 0 ? 0 : calls.getError(this.#ssl, bytes);
      const error = why === SSL_ERROR_SSL ? calls.takeError() : undefined;
      // Others use both ends while this is told.
      if (more) this.#keep(engine.takeInput());
      else if (bytes <= 0 && why !== SSL_ERROR_WANT_READ) engine.takeInput();
      this.#answer();
      this.bytesRead += at;
      engine.givePlain(at > 0 ? this.#reader.received(plain, at) : plain);
      if (error !== undefined) {
        this.destroy(this.onTlsError(error));
        return;
      }
      if (why === SSL_ERROR_ZERO_RETURN) {
        this.#peerEnded = true;
        if (!this.#paused) this.#tellEnd();
        return;
      }
      if (this.#paused || !this.#takeRest()) return;
    }
  }

  /** Gives the transport what OpenSSL says to what it has read: that it changes its keys too, or an alert. */
  #answer(): void {
    const below = this.#below;
    if (this.#answeredBytes > 0 && below.writableLength === 0) this.#answeredBytes = 0;
    const output = this.#engine.takeOutput();
    if (output === undefined) return;
    below.write(output);
    this.#answeredBytes += output.length;
    if (this.#answeredBytes > MAX_ANSWERED_BYTES)
      this.destroy(this.onTlsError(new Error("it asks for answers of TLS, and does not read them")));
  }

  pause(): this {
    this.#paused = true;
    this.#below.pause();
    return this;
  }

  resume(): this {
    this.#paused = false;
    this.#flowing = true;
    if (this.#rest !== undefined || this.#belowEnded || this.#peerEnded) process.nextTick(giveRest, this);
    else this.#below.resume();
    return this;
  }

  /** @internal What came while paused. */
  giveRest(): void {
    if (this.#paused || this.destroyed || this.#choosing) return;
    if (this.#takeRest()) this.#use();
    if (this.#paused || this.destroyed) return;
    if (this.#peerEnded) this.#tellEnd();
    else if (this.#belowEnded) this.#tellBelowEnd();
    // Behind the end too: that the connection is gone shows to who reads it.
    if (!this.#paused && !this.#belowEnded) this.#below.resume();
  }

  /** The peer ends its direction. */
  #tellEnd(): void {
    if (this.#endTold || this.destroyed || !this.#flowing) return;
    this.#endTold = true;
    this.emit("end");
    this.#destroyIfOver();
  }

  /** The connection has ended; if TLS did not say so before, anybody may have ended it. */
  #tellBelowEnd(): void {
    if (this.#endTold || this.#peerEnded) return;
    if (!this.#secure) {
      this.#settle()?.onClosed(undefined);
      this.destroy();
      return;
    }
    if (!this.#flowing) return;
    this.truncated = true;
    this.#tellEnd();
  }

  #destroyIfOver(): void {
    // A client that is refused is lingered for: closed at once, with it still sending, it would read of a reset instead of the alert.
    if (this.#secure && this.#endTold && this.#finished) this.destroy();
  }

  write(chunk: Uint8Array | string, encodingOrTaken?: "latin1" | Taken): boolean {
    const taken = typeof encodingOrTaken === "function" ? encodingOrTaken : undefined;
    if (this.destroyed || this.#ended || this.#ssl === 0) {
      if (taken !== undefined) process.nextTick(taken, this.#whyNotWritten());
      return false;
    }
    this.bytesWritten += chunk.length;
    if (this.#corked > 0) {
      (this.#held ??= []).push({ chunk, taken });
      this.#heldBytes += chunk.length;
      if (this.writableLength < HIGH_WATER_BYTES) return true;
      this.#wantsDrain = true;
      return false;
    }
    this.#encrypt(chunk);
    return this.#send(taken);
  }

  cork(): void {
    this.#corked++;
  }

  uncork(): void {
    if (this.#corked === 0 || --this.#corked > 0) return;
    const held = this.#held;
    if (held === undefined) return;
    const bytes = this.#heldBytes;
    this.#held = undefined;
    this.#heldBytes = 0;
    const { gathered } = this.#engine;
    if (bytes > gathered.length) {
      for (const { chunk } of held) this.#encrypt(chunk);
    } else {
      // In one record.
      let at = 0;
      for (const { chunk } of held) at += copy(gathered, chunk, at);
      if (!this.destroyed) this.#encryptBytes(gathered, at);
    }
    const tellAll = held.some(({ taken }) => taken !== undefined);
    const goesOn = this.#send(tellAll ? (error) => held.forEach(({ taken }) => taken?.(error)) : undefined);
    // The transport knows nothing of who waits.
    if (this.#wantsDrain && goesOn && !this.destroyed) process.nextTick(tellDrain, this);
    this.#wantsDrain = false;
  }

  #encrypt(chunk: Uint8Array | string): void {
    if (this.destroyed || this.#ssl === 0) return;
    const { gathered } = this.#engine;
    if (typeof chunk !== "string") this.#encryptBytes(chunk, chunk.length);
    else if (chunk.length <= gathered.length) this.#encryptBytes(gathered, copy(gathered, chunk, 0));
    else this.#encryptBytes(Buffer.from(chunk, "latin1"), chunk.length);
  }

  #encryptBytes(bytes: Uint8Array, length: number): void {
    const { calls } = this.#engine;
    if (length === 0 || calls.write(this.#ssl, bytes, length) > 0) return;
    const error = calls.takeError();
    this.#send();
    this.destroy(this.onTlsError(error));
  }

  #whyNotWritten(): Error {
    return this.errored ?? new Error(this.#ended ? "write after end" : "write after destroy");
  }

  /** Gives what OpenSSL has for the peer to the transport. Returns `false` to ask to wait for `drain`. */
  #send(taken?: Taken): boolean {
    const output = this.#engine.takeOutput();
    if (output !== undefined) return this.#below.write(output, taken);
    if (taken !== undefined) process.nextTick(taken, this.destroyed ? this.#whyNotWritten() : undefined);
    return true;
  }

  end(): this {
    if (this.#ended || this.destroyed) return this;
    if (this.#corked > 0) {
      this.#corked = 1;
      this.uncork();
    }
    this.#ended = true;
    if (this.#secure && this.#ssl !== 0) {
      const { calls } = this.#engine;
      // It has left an error where a message of the handshake's protocol is not yet there in full.
      if (calls.shutdown(this.#ssl) < 0) calls.clearErrors();
      this.#send();
    }
    this.#below.end();
    return this;
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#error = error;
    this.#below.destroy();
    if (error !== undefined && this.#secure) process.nextTick(tellError, this, error);
    return this;
  }

  /** Closes with a reset, so that the peer takes nothing for whole. */
  resetAndDestroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    if (this.#below.resetAndDestroy === undefined) this.#below.destroy();
    else this.#below.resetAndDestroy();
    return this;
  }

  /** @internal */
  onBelowEnd(): void {
    this.#belowEnded = true;
    if (!this.#paused && !this.#choosing && this.#rest === undefined) this.#tellBelowEnd();
  }

  /** @internal */
  onBelowFinish(): void {
    this.#finished = true;
    this.emit("finish");
    this.#destroyIfOver();
  }

  /** @internal */
  onBelowClose(): void {
    this.destroyed = true;
    if (this.#ssl !== 0) this.#engine.calls.sslFree(this.#ssl);
    this.#ssl = 0;
    this.#rest = undefined;
    const held = this.#held;
    this.#held = undefined;
    this.#heldBytes = 0;
    for (const { taken } of held ?? []) if (taken !== undefined) process.nextTick(taken, this.#whyNotWritten());
    this.#settle()?.onClosed(this.errored ?? undefined);
    this.emit("close");
  }

  /** @internal */
  onBelowError(error: Error): void {
    if (this.#secure && this.#error === undefined) tellError(this, error);
  }
}

/** Node.js keeps listeners in an object that takes 250 bytes, unless their events are named in it before. */
function nameEvents(stream: DirectStream): void {
  const none = undefined;
  const events = { close: none, error: none, data: none, end: none, drain: none, finish: none };
  (stream as unknown as { _events: object })._events = events;
}

/** As the streams of Node.js. */
const HIGH_WATER_BYTES = 65_536;

/** @returns How many bytes it is. */
function copy(to: Buffer, chunk: Uint8Array | string, at: number): number {
  if (typeof chunk === "string") to.write(chunk, at, "latin1");
  else to.set(chunk, at);
  return chunk.length;
}

function giveRest(stream: DirectStream): void {
  stream.giveRest();
}

function tellDrain(stream: DirectStream): void {
  if (!stream.destroyed) stream.emit("drain");
}

function tellError(stream: DirectStream, error: Error): void {
  // Who has just been told of the handshake finds it destroyed.
  if (stream.listenerCount("error") > 0) stream.emit("error", error);
}

// One function for all connections each: a closure for each would be memory.

function onEnd(this: Below): void {
  this[STREAM]!.onBelowEnd();
}

function onDrain(this: Below): void {
  this[STREAM]!.emit("drain");
}

function onFinish(this: Below): void {
  this[STREAM]!.onBelowFinish();
}

function onError(this: Below, error: Error): void {
  this[STREAM]!.onBelowError(error);
}

function onClose(this: Below): void {
  this[STREAM]!.onBelowClose();
}
