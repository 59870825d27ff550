import { shown } from "@sluice/core";

/** What somebody has set of a context. */
export interface ChosenOptions {
  readonly ciphers: string | undefined;
  readonly groups: string | undefined;
}

/** Which option it is that OpenSSL does not take, whose own words name none; `undefined` for other reasons. */
export function optionFault(cause: unknown, { ciphers, groups }: ChosenOptions): string | undefined {
  const { message } = cause as Error;
  if (groups !== undefined && message.includes("ECDH curve")) {
    return `groups: expected names that the OpenSSL of this Node.js knows, such as "X25519:P-256", got ${shown(groups)}`;
  }
  if (ciphers !== undefined && message.includes("no cipher match")) {
    return `ciphers: expected suites that the OpenSSL of this Node.js knows, got ${shown(ciphers)}`;
  }
  return undefined;
}
