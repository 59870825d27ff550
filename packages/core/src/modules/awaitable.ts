/** A value, or a promise of it. What is no promise is not waited for. */
export type Awaitable<T> = T | PromiseLike<T>;

export function isPromise<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === "function";
}

/** A piece of work that gives what it waits for and is handed the result. */
export type Steps<T> = Generator<unknown, T, unknown>;

/**
 * Does all steps at once, as far as none gives a promise; from the first that does, the rest follows later. A step that
 * fails throws where it was given.
 */
export function runSteps<T>(steps: Steps<T>): Awaitable<T> {
  let step = steps.next();
  while (step.done !== true) {
    if (isPromise(step.value)) return runLater(steps, step.value);
    step = steps.next(step.value);
  }
  return step.value;
}

async function runLater<T>(steps: Steps<T>, first: PromiseLike<unknown>): Promise<T> {
  let step = await goOn(steps, first);
  while (step.done !== true) {
    step = isPromise(step.value) ? await goOn(steps, step.value) : steps.next(step.value);
  }
  return step.value;
}

async function goOn<T>(steps: Steps<T>, waiting: PromiseLike<unknown>): Promise<IteratorResult<unknown, T>> {
  let value: unknown;
  try {
    value = await waiting;
  } catch (error) {
    return steps.throw(error);
  }
  return steps.next(value);
}
