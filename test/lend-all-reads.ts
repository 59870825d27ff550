import { SocketReader } from "../packages/core/src/net/socket-reader.ts";

// Whatever is read into memory that is used again is taken away when the event is over: who keeps a view of it and has not said so
// is found by the test that looks at the bytes.
SocketReader.lendsAll = true;
