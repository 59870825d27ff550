export { EventLog, type LoggedEvent } from "./event-log.ts";
export type { MemoryStream, StreamAddresses } from "./memory-stream.ts";
export { record, type Recording } from "./recording.ts";
export { streamPair, turn, type StreamPair, type StreamPairOptions } from "./stream-pair.ts";
export type { DirectionOptions } from "./wire.ts";
