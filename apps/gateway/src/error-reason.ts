import { ProxyError } from "@sluice/error";

/** What was tried, from the outside in, and what the system said of it, unless the error has put that into words of its own. */
export function reasonOf(error: ProxyError): string {
  const words: string[] = [];
  let inner: unknown = error;
  for (; inner instanceof ProxyError; inner = inner.cause) if (inner.context !== undefined) words.push(inner.context);
  if (inner instanceof Error && error.type !== "BindError") words.push(inner.message);
  return words.length === 0 ? error.message : words.join(": ");
}
