import { expect, test } from "vitest";
import { anchors, codeBlocks, linkTargets } from "./markdown.ts";

test("links, images and definitions are found, and none in code", () => {
  const text = `
See [one](one.md), ![two](img/two.svg "title"), [three][ref] and [four](<four.md#part>).
In code, \`[no](no.md)\` is no link; [\`five\`](five.ts#L10) is.

[ref]: three.md

\`\`\`md
[no](no.md)
\`\`\`
`;
  expect(linkTargets(text)).toEqual(["one.md", "img/two.svg", "four.md#part", "five.ts#L10", "three.md"]);
});

test("headings become anchors as on GitHub", () => {
  const text = `
# A request's way
## Retry, \`safe\` & sound
## [Linked](x.md) – it is
## Again
## Again
<a id="by-hand"></a>
`;
  expect([...anchors(text)].toSorted()).toEqual(
    ["a-requests-way", "again", "again-1", "by-hand", "linked--it-is", "retry-safe--sound"].toSorted(),
  );
});

test("code blocks keep their language, text and line", () => {
  const text = "# T\n\n```ts\nlet a;\n```\n\n- item\n  ```sh\n  ls\n  ```\n";
  expect(codeBlocks(text)).toEqual([
    { language: "ts", code: "let a;\n", line: 3 },
    { language: "sh", code: "  ls\n", line: 8 },
  ]);
});
