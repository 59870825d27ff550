import type { RequestHeader } from "@sluice/http";
import type { Router } from "./router.ts";

const ABSOLUTE_FORM = /^https?:\/\/([^/?]*)([^?]*)/i;

/** The target of the route for `request`. In the absolute form the target's authority counts, not the Host field. */
export function findRoute<Target>(
  router: Router<Target>,
  request: Pick<RequestHeader, "target" | "path" | "get">,
): Target | undefined {
  const { path } = request;
  if (path.startsWith("/")) return router.find(request.get("host"), path);
  const absolute = ABSOLUTE_FORM.exec(request.target);
  if (absolute !== null) return router.find(absolute[1], absolute[2] === "" ? "/" : absolute[2]!);
  // `OPTIONS *` is about the server as a whole, as far as a host is one.
  return path === "*" ? router.find(request.get("host"), "/") : undefined;
}
