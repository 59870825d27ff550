import { checkOptionNames, shown, subrequestHead, type SubrequestSession } from "@sluice/core";
import { HeaderFields, type HeaderFieldsInit, type RequestHeader } from "@sluice/http";
import type { Session } from "../session.ts";
import type { BackgroundSubrequests } from "./background-subrequests.ts";
import { PreparedSubrequest } from "./prepared-subrequest.ts";
import { SubrequestFamily } from "./subrequest-family.ts";
import type { SubrequestInfo } from "./subrequest-info.ts";
import type { SubrequestLimits } from "./subrequest-limits.ts";

export interface BackgroundSubrequestOptions {
  /** Handed to the subrequest's hooks as `session.subrequest.userCtx`. */
  userCtx?: unknown;
  /** Default: the parent's. */
  method?: string;
  /** As it stands on the request line, `/path?query`. Default: the parent's. */
  target?: string;
  /** Fields that replace those of the same name; the others are the parent's. */
  fields?: HeaderFieldsInit;
}

export interface SubrequestOptions extends BackgroundSubrequestOptions {
  /**
   * `"none"`, the default: the fields of a body are taken away, and no other protocol is asked for. `"expect"`: the handle, or
   * `pipeSubrequest`, gives one, as long as Content-Length says, and without one until it ends it.
   */
  body?: "none" | "expect";
}

/** What runs subrequests: an `HttpProxy`. */
export interface SubrequestHost {
  readonly subrequestLimits: SubrequestLimits;
  readonly background: BackgroundSubrequests;
  /** Runs all phases; never rejects. */
  handleSubrequest(session: SubrequestSession, info: SubrequestInfo): Promise<void>;
}

/**
 * Makes requests in the name of another one: each is a copy of its head, edited, that runs through all phases of the app with
 * a context of its own. `session.subrequests` is one where `allowSpawningSubrequest` allowed it.
 */
export class SubrequestSpawner {
  readonly #host: SubrequestHost;
  readonly #parent: Session;

  /** @param host Whose app runs. That of `parent`, or another one. */
  constructor(host: SubrequestHost, parent: Session) {
    this.#host = host;
    this.#parent = parent;
  }

  /**
   * Makes a subrequest that is to be run, and whose answer somebody reads. It ends with its parent: one that still runs then
   * is given up.
   * @throws ProxyError `InternalError` beyond the limits (`subrequests` of the proxy's options); InvalidHeaderError or
   * TypeError for options that cannot be.
   */
  create(options: SubrequestOptions = {}): PreparedSubrequest {
    checkOptionNames("create", options, ["body", ...OPTION_NAMES]);
    const body = options.body ?? "none";
    if (body !== "none" && body !== "expect") {
      throw new TypeError(`create: body: expected none or expect, got ${shown(body)}`);
    }
    return this.#prepare(options, body, false);
  }

  /**
   * Runs a subrequest without a body, whose answer is thrown away. It may outlive its parent; when the service stops, it has
   * what is left of the grace period. The promise resolves when it is over and never rejects: how it went is told to its
   * `logging` hook, and to the log.
   * @throws As {@link create}, and ProxyError `InternalError` when the service has ended.
   */
  spawnBackground(options: BackgroundSubrequestOptions = {}): Promise<void> {
    checkOptionNames("spawnBackground", options, OPTION_NAMES);
    const { background } = this.#host;
    background.checkOpen();
    const prepared = this.#prepare(options, "none", true);
    void prepared.handle.drain();
    const { method, target } = prepared.request;
    const done = prepared.run();
    background.add(prepared.handle, `${method} ${target}`, done);
    return done;
  }

  #prepare(options: BackgroundSubrequestOptions, body: "none" | "expect", background: boolean): PreparedSubrequest {
    const parent = this.#parent;
    const request = headOf(parent.request, options);
    parent.family ??= new SubrequestFamily(parent.subrequest);
    const { family } = parent;
    family.add(this.#host.subrequestLimits);
    const info: SubrequestInfo = {
      userCtx: options.userCtx,
      depth: family.depth + 1,
      background,
      tree: family.tree,
    };
    return new PreparedSubrequest(
      request,
      body,
      (handle, mode) => {
        const session = handle.begin(request, parent.digest, mode);
        return [session, this.#host.handleSubrequest(session, info)];
      },
      background ? undefined : family,
    );
  }
}

const OPTION_NAMES = ["userCtx", "method", "target", "fields"];

function headOf(parent: RequestHeader, { method, target, fields }: BackgroundSubrequestOptions): RequestHeader {
  const head = subrequestHead(parent);
  if (method !== undefined) head.method = method;
  if (target !== undefined) head.target = target;
  if (fields !== undefined) {
    const given = HeaderFields.from(fields);
    for (const [name] of given) head.remove(name);
    head.appendAll(given);
  }
  return head;
}
