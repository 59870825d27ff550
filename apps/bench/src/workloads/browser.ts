import { randomBytes } from "node:crypto";
import type { Exchange, Fields, Workload } from "../workload.ts";

/**
 * A GET as a page's script makes it in a browser: twelve fields there, fifteen back. The body has 1 KB, as one of the sizes,
 * so what this costs more than that one is the price of the fields.
 */
export function browser(): Workload {
  const content = Buffer.from(randomBytes(512).toString("hex"));
  const timed: Exchange = {
    request: { method: "GET", path: "/browser", fields: REQUEST_FIELDS },
    answer: { fields: RESPONSE_FIELDS, content },
  };
  const seen: Exchange = {
    request: { method: "GET", path: "/browser-seen", fields: REQUEST_FIELDS },
    answer: { fields: END_TO_END.map(([name, value]) => [`X-Seen-${name}`, value]), content: Buffer.from("seen") },
  };
  return { name: "browser", timed, checks: [timed, seen], files: [], locations: locations(content) };
}

const REQUEST_FIELDS: Fields = [
  ["Host", "shop.example.org"],
  ["Connection", "keep-alive"],
  ["sec-ch-ua", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'],
  ["sec-ch-ua-mobile", "?0"],
  [
    "User-Agent",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  ],
  ["Accept", "application/json, text/plain, */*"],
  ["Sec-Fetch-Site", "same-origin"],
  ["Sec-Fetch-Mode", "cors"],
  ["Referer", "https://shop.example.org/items"],
  ["Accept-Encoding", "gzip, deflate, br, zstd"],
  ["Accept-Language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"],
  ["Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1700000000"],
];

/** Those a proxy passes on: each has its own connection to the origin, and may name the host by the origin's address. */
const END_TO_END: Fields = REQUEST_FIELDS.filter(([name]) => name !== "Host" && name !== "Connection");

/** nginx adds five of its own: Server, Date, Content-Type, Content-Length and Connection. */
const RESPONSE_FIELDS: Fields = [
  ["Cache-Control", "private, max-age=0, must-revalidate"],
  ["ETag", 'W/"400-5f3c1b2a9d8e7"'],
  ["Vary", "Accept-Encoding, Origin"],
  ["Strict-Transport-Security", "max-age=31536000; includeSubDomains"],
  ["X-Content-Type-Options", "nosniff"],
  ["X-Frame-Options", "SAMEORIGIN"],
  ["Referrer-Policy", "strict-origin-when-cross-origin"],
  ["X-Request-Id", "3b1f0c9e-7a5d-4b6c-9d2e-0f1a2b3c4d5e"],
  ["Set-Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; Path=/; HttpOnly; Secure; SameSite=Lax"],
  ["Access-Control-Allow-Origin", "https://shop.example.org"],
];

function locations(content: Buffer): string {
  return `
    location = /browser {
      default_type "application/json; charset=utf-8";
      ${RESPONSE_FIELDS.map(([name, value]) => `add_header ${name} ${quote(value)};`).join("\n      ")}
      return 200 "${content.toString()}";
    }
    location = /browser-seen {
      ${END_TO_END.map(([name]) => `add_header X-Seen-${name} ${variableOf(name)};`).join("\n      ")}
      return 200 "seen";
    }`;
}

/** nginx's variable for a request field. */
function variableOf(name: string): string {
  return `$http_${name.toLowerCase().replaceAll("-", "_")}`;
}

function quote(value: string): string {
  return `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
