export { ERROR_DETAILS, type ErrorDetail } from "./error-detail.ts";
export { ERROR_TYPES, type ErrorType, type KnownErrorType } from "./error-type.ts";
export {
  ProxyError,
  orError,
  toProxyError,
  type ErrorSource,
  type ProxyErrorOptions,
  type Retry,
} from "./proxy-error.ts";
