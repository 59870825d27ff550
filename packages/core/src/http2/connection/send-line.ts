import type { Http2Endpoint } from "./http2-endpoint.ts";
import type { Http2Stream } from "./http2-stream.ts";

/**
 * Streams that have something to send and could not: the system took no more, or the connection's window was used up, or others were
 * there before. Each in its turn sends a frame, and stands at the end again (RFC 9113, section 5.3, leaves the order to us).
 */
export class SendLine {
  #streams: Http2Stream[] = [];
  #running = false;

  get isEmpty(): boolean {
    return this.#streams.length === 0;
  }

  add(stream: Http2Stream): void {
    if (stream.inLine) return;
    stream.inLine = true;
    this.#streams.push(stream);
  }

  /** It has nothing to send any more. One that ends while others have their turn leaves by its own. */
  remove(stream: Http2Stream): void {
    if (this.#running) return;
    stream.inLine = false;
    this.#streams.splice(this.#streams.indexOf(stream), 1);
  }

  /** Goes on until nobody is left, or nobody can. */
  run(endpoint: Http2Endpoint): void {
    // Told that there is room, a session may write, and others with it.
    if (this.#running) return;
    this.#running = true;
    /** Those one after the other who wait for the connection's window: when all do, it is over. */
    let stuck = 0;
    while (this.#streams.length > stuck && !endpoint.congested) {
      const stream = this.#streams.shift()!;
      stream.inLine = false;
      switch (stream.takeTurn()) {
        case "more":
          stuck = 0;
          this.add(stream);
          break;
        case "connection-window-closed":
          stuck++;
          this.add(stream);
          break;
        case "window-closed":
        case "nothing-left":
          break;
      }
    }
    this.#running = false;
  }
}
