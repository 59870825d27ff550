import { randomFillSync } from "node:crypto";
import type { SecureContext } from "node:tls";

/** What Node keeps of a context. Not documented, and as old as session tickets in Node. */
interface NativeContext {
  enableTicketKeyCallback?(): void;
  onticketkeycallback?: TicketKeys;
}

/** Gives what OpenSSL is to do, the two keys, and for a new ticket the name of the key and the initialisation vector. */
type TicketKeys = (name: unknown, iv: unknown, encrypt: unknown) => [result: Result, ...parts: Buffer[]];

/** RESULT of `SSL_CTX_set_tlsext_ticket_key_evp_cb`. */
const NO_TICKET = 0;
const ENCRYPT = 1;
const DECRYPT_AND_RENEW = 2;
type Result = typeof NO_TICKET | typeof ENCRYPT | typeof DECRYPT_AND_RENEW;

const PART_BYTES = 16;

/**
 * Gives a client that resumes a session of TLS 1.3 a new ticket for the next time, as OpenSSL does by itself and nginx does: clients
 * should use each ticket once (RFC 8446, appendix C.4), so browsers would come by a full handshake each third time. Node's way to set a
 * key makes OpenSSL give none. Being asked in JavaScript costs 2 % of a full handshake, the new ticket with it 8 % of a resumed one.
 *
 * Tickets are those of `ticketKeys`, read and written alike by processes that renew and those that do not; a Node.js that does not
 * ask us goes on without renewing.
 *
 * @param key What `ticketKeys` was: the name of the key, then 16 bytes each to authenticate and to encrypt with.
 */
export function renewTickets(context: SecureContext, key: Buffer): void {
  const native = context.context as NativeContext;
  if (typeof native.enableTicketKeyCallback !== "function") return;
  const keyName = key.subarray(0, PART_BYTES);
  const mac = key.subarray(PART_BYTES, 2 * PART_BYTES);
  const cipher = key.subarray(2 * PART_BYTES);
  native.onticketkeycallback = (name, _iv, encrypt) => {
    if (encrypt === true) return [ENCRYPT, mac, cipher, keyName, nextVector()];
    const ours = Buffer.isBuffer(name) && name.equals(keyName);
    return [ours ? DECRYPT_AND_RENEW : NO_TICKET, mac, cipher];
  };
  native.enableTicketKeyCallback();
}

const VECTORS = 256;
const vectors: Buffer = Buffer.alloc(VECTORS * PART_BYTES);
let nextAt = vectors.length;

/** 16 random bytes that nobody else gets. Made by the hundred: one by one, they would be most of what a ticket costs. */
function nextVector(): Buffer {
  if (nextAt === vectors.length) {
    randomFillSync(vectors);
    nextAt = 0;
  }
  return vectors.subarray(nextAt, (nextAt += PART_BYTES));
}
