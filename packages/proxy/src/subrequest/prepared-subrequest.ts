import { SubrequestHandle, type SubrequestBodyMode, type SubrequestSession } from "@sluice/core";
import { ProxyError, toProxyError } from "@sluice/error";
import type { RequestHeader } from "@sluice/http";
import type { SubrequestFamily } from "./subrequest-family.ts";

/** Runs a subrequest's session through all phases. */
type Run = (handle: SubrequestHandle, body: SubrequestBodyMode) => [SubrequestSession, Promise<void>];

/** A subrequest that has not begun: its head can be edited, and its handle taken. */
export class PreparedSubrequest {
  /** A copy of the parent's head, as the creator wanted it. */
  readonly request: RequestHeader;
  /** Where its body goes in and its response comes out. */
  readonly handle: SubrequestHandle = new SubrequestHandle();
  readonly #run: Run;
  /** What it belongs to; `undefined` in the background. */
  readonly #family: SubrequestFamily | undefined;
  #body: SubrequestBodyMode;
  #running: Promise<void> | undefined = undefined;

  /** @internal */
  constructor(request: RequestHeader, body: SubrequestBodyMode, run: Run, family: SubrequestFamily | undefined) {
    this.request = request;
    this.#body = body;
    this.#run = run;
    this.#family = family;
  }

  /** Whether it has a body. */
  get body(): SubrequestBodyMode {
    return this.#body;
  }

  /** It has been started. */
  get begun(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Runs it: all phases of the app, with a context of its own. Resolves when it is over, `logging` included, however it
   * ended; never rejects. Its response must be read from {@link handle}, or drained.
   * @throws ProxyError `InternalError` on a second call, or when the parent request is over.
   */
  run(): Promise<void> {
    if (this.#running !== undefined) throw ProxyError.internal("InternalError", "a subrequest runs once only");
    const { handle } = this;
    this.#family?.begin(handle);
    const [session, handled] = this.#run(handle, this.#body);
    const over = (): void => {
      session.close();
      this.#family?.ended(handle);
    };
    this.#running = handled.then(over, (thrown: unknown) => {
      session.reportFailure(toProxyError(thrown, "a subrequest could not be run"));
      over();
    });
    return this.#running;
  }

  /** @internal There is no body after all, but a protocol can still be asked for. */
  sendNoBody(): void {
    if (this.#body === "expect") this.#body = "upgrade";
  }
}
