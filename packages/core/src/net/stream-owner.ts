/**
 * Where a stream keeps whoever speaks on it, one at a time, so that the listeners of its events can be shared by all streams.
 *
 * A socket has the place before it is first read. Node looks into it at each read, and V8 compiles that for four shapes of sockets, or for
 * any: with one shape for the first read and one for all others, a process that speaks TLS on both sides has too many.
 */
export const OWNER: unique symbol = Symbol("sluice.owner");
