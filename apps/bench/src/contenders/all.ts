import type { Contender } from "../contender.ts";
import { haproxy } from "./haproxy.ts";
import { nginx, nginxStockBuffers } from "./nginx.ts";
import { nodeProgram } from "./node-program.ts";

/** The contender that ratios are taken to. */
export const YARDSTICK: string = nginx.name;

/** Everyone who takes part, in the order of a round and of the tables. */
export const CONTENDERS: readonly Contender[] = [
  nginx,
  nodeProgram({
    name: "sluice",
    program: "sluice.ts",
    npmPackage: "@sluice/proxy",
    hooks: true,
    stopSignal: "SIGINT", // stops at once; SIGTERM would first drain
  }),
  nodeProgram({
    name: "sluice-every-hook",
    program: "sluice-every-hook.ts",
    npmPackage: "@sluice/proxy",
    hooks: true,
    stopSignal: "SIGINT",
  }),
  haproxy,
  nginxStockBuffers,
  nodeProgram({ name: "node:http+undici", program: "node-http-undici.ts", npmPackage: "undici" }),
  nodeProgram({ name: "httpxy", program: "httpxy.ts", npmPackage: "httpxy" }),
  nodeProgram({ name: "http-proxy-3", program: "http-proxy-3.ts", npmPackage: "http-proxy-3" }),
  nodeProgram({ name: "@fastify/http-proxy", program: "fastify-http-proxy.ts", npmPackage: "@fastify/http-proxy" }),
];
