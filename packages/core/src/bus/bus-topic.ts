import { shown } from "../config/shown.ts";

/**
 * What messages on the server's bus are about. `Message` is anything that `structuredClone` takes.
 * ```ts
 * const purges = busTopic<{ key: string }>("shop:purge");
 * ```
 */
export interface BusTopic<Message> {
  readonly name: string;
  /** Only for the compiler. */
  readonly message?: Message;
}

/** The topic of that name: the same in each process of a server. Begin the name with your package's. */
export function busTopic<Message>(name: string): BusTopic<Message> {
  return { name: checkedName("busTopic", name) };
}

/** What all processes of a server can be asked, and what each answers. */
export interface BusQuestion<Question, Answer> {
  readonly name: string;
  /** Only for the compiler. */
  readonly types?: readonly [Question, Answer];
}

/** The question of that name: the same in each process of a server. Begin the name with your package's. */
export function busQuestion<Question, Answer>(name: string): BusQuestion<Question, Answer> {
  return { name: checkedName("busQuestion", name) };
}

function checkedName(what: string, name: unknown): string {
  if (typeof name === "string" && name !== "") return name;
  throw new TypeError(`${what}: expected a name, got ${shown(name)}`);
}
