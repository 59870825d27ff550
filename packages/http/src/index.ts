export { checkFieldName, checkFieldValue, checkMethod, checkStatus, checkTarget } from "./field-grammar.ts";
export { fieldsToH1, titledName } from "./h1-fields.ts";
export { HeaderFields, type HeaderFieldsInit } from "./header-fields.ts";
export { formatHttpDate, httpDateNow, parseHttpDate } from "./http-date.ts";
export type { HttpVersion } from "./http-version.ts";
export { InvalidHeaderError } from "./invalid-header-error.ts";
export { reasonPhrase } from "./reason-phrase.ts";
export { RequestHeader } from "./request-header.ts";
export { ResponseHeader } from "./response-header.ts";
