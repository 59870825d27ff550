/** Fields as they are sent, for the programs beside this file. */
export const REQUESTS: readonly (readonly [name: string, head: string])[] = [
  [
    "3 fields, as curl",
    head("GET /index.html HTTP/1.1", ["Host: example.org", "User-Agent: curl/8.14.1", "Accept: */*"]),
  ],
  [
    "12 fields, as a browser",
    head("GET /api/items?page=2&sort=price HTTP/1.1", [
      "Host: shop.example.org",
      "Connection: keep-alive",
      'sec-ch-ua: "Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
      "sec-ch-ua-mobile: ?0",
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
      "Accept: application/json, text/plain, */*",
      "Sec-Fetch-Site: same-origin",
      "Sec-Fetch-Mode: cors",
      "Referer: https://shop.example.org/items",
      "Accept-Encoding: gzip, deflate, br, zstd",
      "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
      "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1700000000",
    ]),
  ],
];

export const RESPONSES: readonly (readonly [name: string, head: string])[] = [
  [
    "3 fields",
    head("HTTP/1.1 200 OK", ["Content-Type: text/plain", "Date: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Length: 13"]),
  ],
  [
    "15 fields",
    head("HTTP/1.1 200 OK", [
      "Server: nginx/1.28.0",
      "Date: Sun, 06 Nov 1994 08:49:37 GMT",
      "Content-Type: application/json; charset=utf-8",
      "Content-Length: 1024",
      "Connection: keep-alive",
      "Keep-Alive: timeout=65",
      "Cache-Control: private, max-age=0, must-revalidate",
      'ETag: W/"400-5f3c1b2a9d8e7"',
      "Vary: Accept-Encoding, Origin",
      "Strict-Transport-Security: max-age=31536000; includeSubDomains",
      "X-Content-Type-Options: nosniff",
      "X-Frame-Options: SAMEORIGIN",
      "X-Request-Id: 3b1f0c9e-7a5d-4b6c-9d2e-0f1a2b3c4d5e",
      "Set-Cookie: session=8f14e45fceea167a5a36dedd4bea2543; Path=/; HttpOnly; Secure; SameSite=Lax",
      "Access-Control-Allow-Origin: https://shop.example.org",
    ]),
  ],
];

function head(startLine: string, fields: readonly string[]): string {
  return `${[startLine, ...fields].join("\r\n")}\r\n\r\n`;
}
