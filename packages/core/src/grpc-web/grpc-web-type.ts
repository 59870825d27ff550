/** A content type of gRPC-Web: binary or base64, with its message format. */
export interface GrpcWebType {
  /** `application/grpc-web-text`: base64. */
  readonly isText: boolean;
  /** What follows, in lower case: `+proto`, `; charset=utf-8`, or nothing. */
  readonly suffix: string;
}

const NAME = "application/grpc-web";
const TEXT = "-text";

/** `undefined` for any other type; `application/grpc-webber` is one. */
export function grpcWebType(contentType: string | undefined): GrpcWebType | undefined {
  const type = contentType?.toLowerCase();
  if (type?.startsWith(NAME) !== true) return undefined;
  const isText = type.startsWith(TEXT, NAME.length);
  const suffix = type.slice(NAME.length + (isText ? TEXT.length : 0));
  return suffix === "" || /^[+; \t]/.test(suffix) ? { isText, suffix } : undefined;
}

/** The type with which a gRPC server answers `application/grpc+proto` and its like: what follows the name; `undefined` for others. */
export function grpcSuffix(contentType: string | undefined): string | undefined {
  const type = contentType?.toLowerCase();
  if (type?.startsWith("application/grpc") !== true) return undefined;
  const suffix = type.slice("application/grpc".length);
  return suffix === "" || /^[+; \t]/.test(suffix) ? suffix : undefined;
}
