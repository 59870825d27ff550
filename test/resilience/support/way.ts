import type { OriginConfig, ProxyConfig } from "./messages.ts";
import { Program } from "./program.ts";

/** A proxy in front of one origin, without health checks. */
export interface Way extends AsyncDisposable {
  readonly origin: Program;
  readonly proxy: Program;
}

export async function openWay(): Promise<Way> {
  await using stack = new AsyncDisposableStack();
  const origin = stack.use(await Program.start("origin.ts", { port: 0, tag: "a" } satisfies OriginConfig));
  const upstreams = [`127.0.0.1:${origin.port}`];
  const proxy = stack.use(await Program.start("proxy.ts", { upstreams } satisfies ProxyConfig));
  const programs = stack.move();
  return { origin, proxy, [Symbol.asyncDispose]: () => programs.disposeAsync() };
}
