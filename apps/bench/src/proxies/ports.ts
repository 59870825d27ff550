/** The ports of 127.0.0.1 that a proxy program was started with: where to listen, where to pass on to. */
export function portsFromArgv(): { port: number; originPort: number } {
  const [port, originPort] = process.argv.slice(2).map(Number);
  if (!port || !originPort) throw new Error("usage: node PROGRAM.ts PORT ORIGIN_PORT");
  return { port, originPort };
}
