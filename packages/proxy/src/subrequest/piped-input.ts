import type { HttpModuleContext, ServerSession } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";
import type { Session } from "../session.ts";
import type { AwaitedClient } from "./awaited-client.ts";
import { clientBody, presetBody, SavedBody, type InputBody } from "./input-body.ts";
import type { PreparedSubrequest } from "./prepared-subrequest.ts";

/** What goes to a piped subrequest: its body, and what the client says after a change of protocol. */
export class PipedInput {
  /** What was kept; `undefined` if nothing was to be. */
  readonly savedBody: SavedBody | undefined;
  readonly #session: Session;
  readonly #downstream: ServerSession;
  readonly #prepared: PreparedSubrequest;
  readonly #input: InputBody;
  readonly #tunnel = Promise.withResolvers<void>();

  /** @param input Default: the client's body for a subrequest that expects one, else none. */
  constructor(session: Session, prepared: PreparedSubrequest, input: InputBody | undefined) {
    this.#session = session;
    this.#downstream = session.downstream;
    this.#prepared = prepared;
    this.#input = input ?? (prepared.body === "none" ? presetBody() : clientBody());
    if (this.#input.kind === "client" && this.#input.saveUpToBytes > 0) {
      this.savedBody = new SavedBody(this.#input.saveUpToBytes);
    }
  }

  /**
   * Says in the subrequest's head how long its body is, now that it is known where it comes from.
   * @throws ProxyError `InternalError` when it cannot be had, or is not expected.
   */
  prepare(): void {
    const input = this.#input;
    const { requestBodyBytes, requestBodyDone, requestBodyEmpty } = this.#downstream;
    if (input.kind === "client" && !requestBodyEmpty && (requestBodyDone || requestBodyBytes > 0)) {
      throw misuse("the client's body was read before; give what you have of it as presetBody(…)");
    }
    const isEmpty =
      input.kind === "client" ? requestBodyEmpty : input.pieces.length === 0 && input.trailers === undefined;
    if (isEmpty) this.#prepared.sendNoBody();
    else if (this.#prepared.body !== "expect") throw misuse('its body was created as "none"');
    else if (input.kind === "preset") this.#setLength(input.pieces, input.trailers);
  }

  /** Tells the modules of the end of a client's body that there is none of. */
  async endEmptyBody(): Promise<void> {
    const modules = this.#modules;
    if (this.#input.kind !== "client" || !this.#downstream.requestBodyEmpty) return;
    if (modules === undefined || !modules.hasRequestBody) return;
    const last = await modules.requestEnd(undefined);
    this.#session.throwIfOver();
    if (last !== undefined && last.length > 0) throw misuse("a module made a body for a request that has none");
  }

  /** Sends all, at the pace of the subrequest; ends early when the client is left. Fails when a module does. */
  async send(client: AwaitedClient): Promise<void> {
    const { handle, body } = this.#prepared;
    const input = this.#input;
    if (body === "expect") {
      // What an answer does not wait for need not be read.
      if (!(await handle.wantsBody) || client.over) return;
      if (input.kind === "client") await this.#sendClientBody(client);
      else await this.#sendPreset(client, input.pieces, input.trailers);
    }
    if (this.#downstream.upgrade === undefined || client.over) return;
    await this.#tunnel.promise;
    for (;;) {
      const piece = await client.next();
      if (piece === undefined) return;
      if (!(piece instanceof Uint8Array)) break;
      await this.#give(client, await this.#throughModules(piece));
    }
    handle.finishBody();
  }

  /** The protocol was changed: what the client says now is passed on as it is. */
  beginTunnel(): void {
    this.#tunnel.resolve();
  }

  /** Those of the request itself. */
  get #modules(): HttpModuleContext | undefined {
    return this.#session.ownModules?.downstream;
  }

  #setLength(pieces: readonly Uint8Array[], trailers: HeaderFields | undefined): void {
    const { request } = this.#prepared;
    // What the client asked to wait for is here already.
    for (const name of ["Content-Length", "Transfer-Encoding", "Expect"]) request.remove(name);
    if (trailers !== undefined) return;
    const length = pieces.reduce((bytes, piece) => bytes + piece.length, 0);
    request.set("Content-Length", length);
  }

  async #sendPreset(
    client: AwaitedClient,
    pieces: readonly Uint8Array[],
    trailers: HeaderFields | undefined,
  ): Promise<void> {
    for (const piece of pieces) await this.#give(client, piece);
    this.#prepared.handle.finishBody(trailers);
  }

  async #sendClientBody(client: AwaitedClient): Promise<void> {
    const modules = this.#modules;
    for (;;) {
      const input = await client.next();
      if (input === undefined) return;
      if (input instanceof Uint8Array) {
        await this.#saveAndGive(client, await this.#throughModules(input));
        continue;
      }
      const last = modules === undefined ? undefined : await modules.requestEnd(input.trailers);
      if (last !== undefined) await this.#saveAndGive(client, last);
      this.savedBody?.end(input.trailers);
      this.#prepared.handle.finishBody(input.trailers);
      return;
    }
  }

  async #throughModules(piece: Uint8Array): Promise<Uint8Array> {
    return this.#modules?.requestBody(piece) ?? piece;
  }

  async #saveAndGive(client: AwaitedClient, piece: Uint8Array): Promise<void> {
    this.savedBody?.add(piece);
    await this.#give(client, piece);
  }

  async #give(client: AwaitedClient, piece: Uint8Array): Promise<void> {
    const { handle } = this.#prepared;
    if (client.over || handle.writeBody(piece)) return;
    await new Promise<void>((resolve) => (handle.onWritable = resolve));
  }
}

export function misuse(what: string): ProxyError {
  return ProxyError.internal("InternalError", `pipeSubrequest: ${what}`);
}
