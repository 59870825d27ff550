import {
  credentials as channelCredentials,
  makeGenericClientConstructor,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";

/** Messages are bytes as they are: what gRPC makes of them is none of a proxy's business. */
const same = (bytes: Buffer): Buffer => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean): ServiceDefinition[string] {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const ECHO: ServiceDefinition = {
  unary: method("Unary", false, false),
  serverStream: method("ServerStream", false, true),
  clientStream: method("ClientStream", true, false),
  both: method("Both", true, true),
};

/** What {@link ECHO} offers a client. */
export interface EchoClient extends Client {
  unary(
    message: Buffer,
    metadata: Metadata,
    options: { deadline?: Date },
    done: (error: ServiceError | null, answer?: Buffer) => void,
  ): ClientUnaryCall;
  serverStream(message: Buffer, metadata?: Metadata, options?: { deadline?: Date }): ClientReadableStream<Buffer>;
  clientStream(done: (error: ServiceError | null, answer?: Buffer) => void): ClientWritableStream<Buffer>;
  both(): ClientDuplexStream<Buffer, Buffer>;
}

/** A server with the four kinds of calls. */
export interface EchoServer extends AsyncDisposable {
  readonly address: string;
  /** Calls that a client gave up. */
  readonly cancelled: number;
  /** Resolves when the next one is. */
  whenCancelled(): Promise<void>;
  /** Calls that are open. */
  readonly open: number;
}

/**
 * - `Unary`: echoes; the metadata `fail` names a status code to fail with; with `hang` it never answers
 * - `ServerStream`: the message as often as its first byte says
 * - `ClientStream`: how many bytes came in how many messages, as text
 * - `Both`: echoes each message
 */
export async function startEchoServer(
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<EchoServer> {
  let cancelled = 0;
  let open = 0;
  const waiting: (() => void)[] = [];
  const onCancelled = (): void => {
    cancelled++;
    for (const wake of waiting.splice(0)) wake();
  };
  const unary: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    open++;
    call.on("cancelled", onCancelled);
    const [fail] = call.metadata.get("fail");
    const [hang] = call.metadata.get("hang");
    if (hang !== undefined) return;
    open--;
    if (fail === undefined) callback(null, call.request);
    else callback({ code: CODES[String(fail)]!, details: "as asked" });
  };
  const serverStream: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    open++;
    call.on("cancelled", onCancelled);
    for (let left = call.request[0]!; left > 0; left--) call.write(call.request);
    call.end();
    open--;
  };
  const clientStream: handleClientStreamingCall<Buffer, Buffer> = (call, callback) => {
    let bytes = 0;
    let messages = 0;
    call.on("data", (message: Buffer) => {
      bytes += message.length;
      messages++;
    });
    call.on("end", () => callback(null, Buffer.from(`${bytes} in ${messages}`)));
  };
  const both: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    open++;
    call.on("cancelled", onCancelled);
    call.on("data", (message: Buffer) => call.write(message));
    call.on("end", () => {
      open--;
      call.end();
    });
  };
  const limits = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  const server = new Server(limits);
  server.addService(ECHO, { unary, serverStream, clientStream, both });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  return {
    address: `127.0.0.1:${port}`,
    get cancelled() {
      return cancelled;
    },
    get open() {
      return open;
    },
    whenCancelled: () => new Promise((resolve) => waiting.push(resolve)),
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

/** What `fail` may name. */
const CODES: Readonly<Record<string, status>> = { [status.NOT_FOUND]: status.NOT_FOUND };

const Echo = makeGenericClientConstructor(ECHO, "Echo");

/** A client on one connection of its own. */
export function echoClient(address: string, credentials: ChannelCredentials, options: ClientOptions = {}): EchoClient {
  return new Echo(address, credentials, {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
    ...options,
  }) as unknown as EchoClient;
}

export const { CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, UNAVAILABLE } = status;

/** The same server, by TLS. */
export function startSecureEchoServer({ cert, key }: { cert: string; key: string }): Promise<EchoServer> {
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
  return startEchoServer(ServerCredentials.createSsl(null, [pair]));
}

/** The same client, by TLS, for which it needs a name. @param ca Whom it believes. */
export function secureEchoClient(address: string, ca: string): EchoClient {
  return echoClient(address, channelCredentials.createSsl(Buffer.from(ca)), {
    "grpc.ssl_target_name_override": "localhost",
  });
}

/** A unary call: its answer, or the code that it failed with. */
export function callUnary(
  client: EchoClient,
  message: Buffer,
  fields: Record<string, string> = {},
  options: { deadline?: Date } = {},
): Promise<Buffer | number> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return new Promise((resolve) => {
    client.unary(message, metadata, options, (error, answer) => resolve(error === null ? answer! : error.code));
  });
}
