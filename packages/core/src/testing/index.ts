export { EventLog, type LoggedEvent } from "./event-log.ts";
export { encodeHeaderBlock } from "./header-block.ts";
export {
  FLAG,
  FRAME,
  frameBytes,
  Http2FrameClient,
  requestFields,
  type Http2Frame,
  type Http2FrameClientOptions,
} from "./http2-frame-client.ts";
export type { MemoryStream, StreamAddresses } from "./memory-stream.ts";
export { record, type Recording } from "./recording.ts";
export { streamPair, turn, type StreamPair, type StreamPairOptions } from "./stream-pair.ts";
export type { DirectionOptions } from "./wire.ts";
