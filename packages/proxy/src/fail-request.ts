import type { ProxyError } from "@sluice/error";
import { errorStatus, isClientGone, NOTHING_SENT } from "./error-answers.ts";
import { logFailure, logHookFailure, summaryOf } from "./error-log.ts";
import { toErrorPage, toFailToProxy, type FailToProxy } from "./fail-to-proxy.ts";
import { hookError, lateHookError, uselessHookError } from "./hook-errors.ts";
import { isPromise, notPromise } from "./hook.ts";
import type { Phase } from "./phase.ts";
import type { ProxyHttp } from "./proxy-http.ts";
import type { Session } from "./session.ts";

/** The client left while a hook took its time. */
const LEFT = "left";

/** Answers a request that failed for good, and says so in the log. */
export async function failRequest<Ctx>(
  app: ProxyHttp<Ctx>,
  session: Session,
  ctx: Ctx,
  error: ProxyError,
): Promise<ProxyError> {
  const { downstream } = session;
  const failedIn = session.phase;
  // For the log: the connection may be cut before the line is written, and is nobody's then.
  void session.clientAddress;
  session.failed(error);
  // What a hook had begun to answer before it failed.
  if (session.ownModules?.answering !== undefined) await whenAnswered(session, session.ownModules.answering);
  // Modules have seen its head, and cannot take it back.
  if (session.activeModules === undefined) downstream.takeBack?.();
  const decided = await askFailToProxy(app, session, ctx, error);
  const { status, reuse } = decided === undefined || decided === LEFT ? { status: errorStatus(error) } : decided;
  if (status !== NOTHING_SENT && session.response === undefined) {
    // A page may take its time, too; what there is without one may still reach a client that only ended its direction.
    if (decided === LEFT) session.respondError(status);
    else await answer(app, session, ctx, error, status);
  }
  if (reuse === false) downstream.disableKeepAlive();
  // What was begun and cannot be completed is cut, so that nobody takes it for whole.
  if (!downstream.responseDone) downstream.abort();
  session.phase = failedIn;
  if (!isSuppressed(app, session, ctx, error)) logFailure(session, error, summaryOf(app, session, ctx));
  return error;
}

/** Answers a request that has no context, so that no hook can run. */
export function failWithoutContext(session: Session, error: ProxyError): void {
  session.failed(error);
  const status = errorStatus(error);
  if (status === NOTHING_SENT) session.downstream.abort();
  else session.respondError(status);
  logFailure(session, error, undefined);
}

/** What the hook decided; nothing if there is none, or if it failed. */
async function askFailToProxy<Ctx>(
  app: ProxyHttp<Ctx>,
  session: Session,
  ctx: Ctx,
  error: ProxyError,
): Promise<FailToProxy | typeof LEFT | undefined> {
  if (app.failToProxy === undefined) return undefined;
  session.phase = "failToProxy";
  try {
    const given = app.failToProxy(session, error, ctx);
    const waited = isPromise(given) ? await whileThere(session, given) : { value: given };
    if (waited === undefined) return LEFT;
    const decided = toFailToProxy(waited.value);
    const answering = session.ownModules?.answering;
    if (answering !== undefined) await whileThere(session, answering);
    session.failedStatus = decided.status;
    return decided;
  } catch (thrown) {
    hookFailed(app, session, ctx, "failToProxy", thrown);
    return undefined;
  }
}

/** The default answer, with what `errorPage` says. */
async function answer<Ctx>(
  app: ProxyHttp<Ctx>,
  session: Session,
  ctx: Ctx,
  error: ProxyError,
  status: number,
): Promise<void> {
  const { downstream } = session;
  if (app.errorPage !== undefined && !isClientGone(downstream.error)) {
    session.phase = "errorPage";
    try {
      const given = app.errorPage(session, status, error, ctx);
      const waited = isPromise(given) ? await whileThere(session, given) : { value: given };
      session.respondError(status, toErrorPage(waited?.value));
      return;
    } catch (thrown) {
      hookFailed(app, session, ctx, "errorPage", thrown);
    }
  }
  session.respondError(status);
}

/**
 * Waits for a hook, but not longer than there is a client; nothing if it left. A request that could not be read is answered all
 * the same.
 */
function whileThere<T>(session: Session, waiting: PromiseLike<T>): Promise<{ value: T } | undefined> {
  const { downstream, phase } = session;
  let gone = false;
  return new Promise<{ value: T } | undefined>((resolve, reject) => {
    const leave = (): void => {
      gone = true;
      resolve(undefined);
    };
    downstream.onGone = leave;
    if (isClientGone(downstream.error)) leave();
    waiting.then(
      (value) => resolve({ value }),
      (thrown: unknown) => (gone ? lateHookError(session, phase, thrown) : reject(thrown)),
    );
  }).finally(() => (downstream.onGone = undefined));
}

/** An answer that is on its way through the modules, to its end, whatever that is. */
async function whenAnswered(session: Session, answering: Promise<void>): Promise<void> {
  await whileThere(
    session,
    answering.catch((thrown: unknown) => uselessHookError(session, "responseModules", thrown)),
  );
}

function isSuppressed<Ctx>(app: ProxyHttp<Ctx>, session: Session, ctx: Ctx, error: ProxyError): boolean {
  try {
    return notPromise(session, "suppressErrorLog", app.suppressErrorLog?.(session, error, ctx)) === true;
  } catch (thrown) {
    uselessHookError(session, "suppressErrorLog", thrown);
    return false;
  }
}

function hookFailed<Ctx>(app: ProxyHttp<Ctx>, session: Session, ctx: Ctx, hook: Phase, thrown: unknown): void {
  logHookFailure(session, hookError(session, hook, thrown), summaryOf(app, session, ctx));
}
