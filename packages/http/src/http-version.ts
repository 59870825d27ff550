/** The protocol versions that heads can have. A string, so that logs and comparisons read alike. */
export type HttpVersion = "1.0" | "1.1" | "2";
