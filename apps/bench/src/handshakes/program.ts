// Makes handshakes as its argument says, a HandshakeJob in JSON, and prints the Tally. A process, so that it can have a core.
import type { HandshakeJob } from "../handshakes.ts";
import { makeHandshakes } from "./make-handshakes.ts";

const tally = await makeHandshakes(JSON.parse(process.argv[2] ?? "") as HandshakeJob);
process.stdout.write(JSON.stringify(tally));
