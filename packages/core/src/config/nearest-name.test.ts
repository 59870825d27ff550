import { expect, test } from "vitest";
import { nearestName } from "./nearest-name.ts";

const NAMES = ["listeners", "upstreams", "routes", "max_retries", "pid"];

test.each([
  ["listener", "listeners"],
  ["upstreems", "upstreams"],
  ["Routes", "routes"],
  ["ruotes", "routes"],
  ["max-retries", "max_retries"],
  ["maxretrys", "max_retries"],
  ["pd", "pid"],
  ["xyz", undefined],
  ["threads", undefined],
  ["", undefined],
])("%j is probably %j", (name, near) => {
  expect(nearestName(name, NAMES)).toBe(near);
});
