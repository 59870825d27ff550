import { randomBytes } from "node:crypto";
import { formatBodySize } from "../body-size.ts";
import type { Exchange, Fields, Workload } from "../workload.ts";

/** A POST with 1 MB in chunks. The origin reads all of it, and answers then. */
export function upload(): Workload {
  const body = randomBytes(BODY_BYTES);
  const post = (path: string, content: Buffer): Exchange => ({
    request: { method: "POST", path, fields: REQUEST_FIELDS, chunkedBody: body },
    answer: { fields: [], content },
  });
  const timed = post("/upload", Buffer.from(String(BODY_BYTES)));
  const echo = post("/upload-echo", body);
  return {
    name: `upload ${formatBodySize(BODY_BYTES)}`,
    timed,
    checks: [timed, echo],
    files: [],
    locations: LOCATIONS,
  };
}

const BODY_BYTES = 1024 * 1024;

const REQUEST_FIELDS: Fields = [
  ["Host", "files.example.org"],
  ["Content-Type", "application/octet-stream"],
];

/**
 * nginx answers by itself before it has read a body, but passes a request on only once it has: so it passes the count of
 * bytes on, to itself, in place of the body. A body that is not whole is a 400, which the load generator counts.
 */
const LOCATIONS = `
    client_max_body_size 0;
    client_body_buffer_size 2m; # in memory
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Content-Length "";
    proxy_set_header X-Body-Bytes $content_length;
    proxy_pass_request_body off;
    location = /upload { proxy_pass http://itself/upload-read; }
    location = /upload-read {
      if ($http_x_body_bytes != ${BODY_BYTES}) { return 400 "$http_x_body_bytes"; }
      return 200 "$http_x_body_bytes";
    }
    # Sends back what came, which can be done only after it was read: hence by way of an error.
    location = /upload-echo {
      proxy_pass http://itself/upload-was-read;
      proxy_intercept_errors on;
      error_page 418 =200 @upload-echo;
    }
    location = /upload-was-read { return 418; }
    location @upload-echo { return 200 "$request_body"; }`;
