import { expect, test } from "vitest";
import { checkWrites, takesAtOnce } from "./write-check.ts";

test("this Node has taken what it is given when it returns", async () => {
  expect(takesAtOnce()).toBe(false);
  expect(await checkWrites()).toBe(true);
  expect(takesAtOnce()).toBe(true);
});
