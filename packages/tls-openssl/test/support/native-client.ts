import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { NativeCalls } from "@sluice/linux";
import { addressOfContext } from "../../src/direct/native-contexts.ts";
import { OpensslCalls } from "../../src/direct/openssl-calls.ts";

const SSL_KEY_UPDATE_REQUESTED = 1;

/** A client by calls to OpenSSL, which says what no well-behaved one does. Not read unless it shakes hands. */
export class NativeClient implements Disposable {
  readonly socket: Socket;
  readonly #calls: OpensslCalls;
  readonly #context: SecureContext;
  readonly #ssl: number;
  readonly #in: number;
  readonly #out: number;
  readonly #keyUpdate: ReturnType<NativeCalls["define"]>;

  constructor(native: NativeCalls, port: number, options: SecureContextOptions = {}) {
    const calls = (this.#calls = new OpensslCalls(native));
    this.#keyUpdate = native.define("SSL_key_update", "int", ["intptr", "int"]);
    const asClient = native.define("SSL_set_connect_state", "void", ["intptr"]);
    this.#context = createSecureContext(options);
    this.#ssl = calls.sslNew(addressOfContext(this.#context));
    this.#in = calls.bioNew(calls.bioMemory());
    this.#out = calls.bioNew(calls.bioMemory());
    calls.setBio(this.#ssl, this.#in, this.#out);
    asClient(this.#ssl);
    this.socket = connect({ port, host: "127.0.0.1" }).on("error", () => undefined);
  }

  async shakeHands(): Promise<void> {
    await once(this.socket, "connect");
    while (this.#calls.doHandshake(this.#ssl) !== 1) {
      this.socket.write(this.said());
      const [bytes] = (await once(this.socket, "data")) as [Buffer];
      this.#calls.bioWrite(this.#in, bytes, bytes.length);
    }
    this.#calls.clearErrors();
    this.socket.write(this.said());
  }

  /** Records with so many changes of keys, each of which asks for one of the server's. */
  keyUpdates(count: number): Buffer {
    for (let i = 0; i < count; i++) {
      this.#keyUpdate(this.#ssl, SSL_KEY_UPDATE_REQUESTED);
      this.#calls.doHandshake(this.#ssl);
    }
    return this.said();
  }

  /** `text` and the end of what this side says, to be sent together. */
  lastWords(text: string): Buffer {
    this.#calls.write(this.#ssl, Buffer.from(text), text.length);
    this.#calls.shutdown(this.#ssl);
    return this.said();
  }

  /** What OpenSSL has to say. */
  said(): Buffer {
    const bytes = Buffer.alloc(this.#calls.bioPending(this.#out));
    if (bytes.length > 0) this.#calls.bioRead(this.#out, bytes, bytes.length);
    return bytes;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
    this.#calls.sslFree(this.#ssl);
  }
}
