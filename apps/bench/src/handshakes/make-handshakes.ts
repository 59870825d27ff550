import { connect, createSecureContext, type ConnectionOptions, type TLSSocket } from "node:tls";
import { trust } from "../client.ts";
import type { HandshakeJob } from "../handshakes.ts";
import type { Tally } from "./tally.ts";

/**
 * Opens connections by TLS 1.3 for `seconds`, `connections` at a time. Each sends one request and reads until the proxy, which was asked
 * to, closes it. Those under way at the end come to theirs and count. With `resume` a connection goes on with the newest session of the
 * one before it; the very first session is from one that does not count.
 */
export async function makeHandshakes(job: HandshakeJob): Promise<Tally> {
  const { seconds, connections, resume, port, ca } = job;
  const secureContext = createSecureContext(trust(ca));
  const options: ConnectionOptions = { host: "127.0.0.1", port, secureContext, timeout: 10_000 };
  const counts = { answered: 0, resumed: 0, bytesRead: 0, latenciesMs: [] as number[] };
  const wrong = { count: 0, sample: "" };
  const failed = { count: 0, sample: "" };
  const expected = { head: "HTTP/1.1 200 ", end: `\r\n\r\n${job.content}` };
  const request = `GET ${job.path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`;

  const first = resume ? (await visit(options, request, true)).session : undefined;
  const start = performance.now();
  const goOn = async (): Promise<void> => {
    let session = first;
    while (performance.now() - start < seconds * 1000) {
      const begin = performance.now();
      try {
        const visited = await visit(session ? { ...options, session } : options, request, resume);
        counts.bytesRead += visited.text.length;
        if (visited.text.startsWith(expected.head) && visited.text.endsWith(expected.end)) {
          counts.answered++;
          if (visited.resumed) counts.resumed++;
          counts.latenciesMs.push(performance.now() - begin);
        } else {
          wrong.sample ||= visited.text.slice(0, 200);
          wrong.count++;
        }
        session = visited.session ?? session;
      } catch (error) {
        failed.sample ||= (error as Error).message;
        failed.count++;
      }
    }
  };
  await Promise.all(Array.from({ length: connections }, goOn));
  return { ...counts, wrong, failed, seconds: (performance.now() - start) / 1000 };
}

/** What one connection saw. */
interface Visit {
  /** All that came, a character for each byte. */
  readonly text: string;
  readonly resumed: boolean;
  /** The newest session that was given, if those are kept. */
  readonly session: Buffer | undefined;
}

function visit(options: ConnectionOptions, request: string, keepSession: boolean): Promise<Visit> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect(options);
    let text = "";
    let resumed = false;
    let session: Buffer | undefined;
    socket.setEncoding("latin1");
    socket.once("secureConnect", () => {
      resumed = socket.isSessionReused();
      socket.write(request, "latin1");
    });
    if (keepSession) socket.on("session", (newer) => (session = newer));
    socket.on("data", (chunk: string) => (text += chunk));
    socket.once("timeout", () => socket.destroy(new Error("nothing for 10 s")));
    socket.once("error", reject);
    socket.once("close", () => resolve({ text, resumed, session }));
  });
}
