import { checkOptionNames, checkOptionType } from "../config/known-options.ts";
import { shown } from "../config/shown.ts";
import { logger } from "../log/logger.ts";
import { isPromise } from "../modules/awaitable.ts";
import type { BusMessage, RetainedMessage } from "./bus-message.ts";
import type { BusQuestion, BusTopic } from "./bus-topic.ts";

const log = logger("core");

/** The way to another process of the server. */
export interface BusPeer {
  /** To be given up without an error when the process has ended. */
  send(message: BusMessage): void;
}

export interface PublishOptions {
  /**
   * Keeps the message for processes that start later, such as the successor of a worker, until another one is published with the
   * same topic and this text. Default: only those get it that are there.
   */
  retainAs?: string;
}

export interface AskOptions {
  /** How long to wait for those that do not answer; their answers are missing. Milliseconds. Default 1000. */
  timeoutMs?: number;
}

const NONE: PublishOptions & AskOptions = {};
/** What is added for others leaves a time that a timer takes. */
const MAX_ASK_MS = 2_147_483_000;

interface OpenQuestion {
  /** Processes that have not answered. */
  readonly waiting: Set<BusPeer>;
  readonly answers: unknown[];
  readonly settle: () => void;
}

/**
 * Messages between the processes of a server: what one says, all hear, itself included. Where one process is the whole server,
 * it talks to itself, so that an application is written once.
 *
 * What one process says arrives everywhere in the order in which it was said. What two say may arrive in different orders.
 * Nothing is said twice; what is on its way to or from a process that dies is lost.
 */
export class ServerBus {
  readonly #listeners = new Map<string, Set<(message: unknown) => void>>();
  readonly #answerers = new Map<string, (question: unknown) => unknown>();
  readonly #peers = new Set<BusPeer>();
  /** By topic and what it is retained as; in the order in which they were published. */
  readonly #retained = new Map<string, RetainedMessage>();
  readonly #open = new Map<number, OpenQuestion>();
  #asked = 0;

  /**
   * Tells all processes. Listeners of this one have heard it when the call returns.
   * @throws DataCloneError when the message cannot be cloned and other processes are to have it; TypeError for an option that is
   * not known or of another type.
   */
  publish<Message>(topic: BusTopic<Message>, message: Message, options: PublishOptions = NONE): void {
    const { name } = topic;
    const { retainAs } = options;
    if (options !== NONE) {
      checkOptionNames("publish", options, ["retainAs"]);
      checkOptionType("publish", "retainAs", retainAs, "string");
    }
    this.#hear({ bus: "publish", topic: name, message, retainAs }, undefined);
  }

  /**
   * Hears what is said from now on, and first what is retained. A listener that throws is logged.
   * @returns how to hear no more.
   * @throws TypeError for a listener that is no function.
   */
  subscribe<Message>(topic: BusTopic<Message>, listener: (message: Message) => void): () => void {
    if (typeof listener !== "function") {
      throw new TypeError(`subscribe to ${topic.name}: expected a function, got ${shown(listener)}`);
    }
    const listeners = this.#listeners.get(topic.name) ?? new Set();
    this.#listeners.set(topic.name, listeners);
    // Each call is one of its own, also of the same function.
    const own = (message: unknown): void => listener(message as Message);
    listeners.add(own);
    for (const retained of this.#retained.values()) {
      if (retained.topic === topic.name) tell(own, topic.name, retained.message);
    }
    return () => void listeners.delete(own);
  }

  /**
   * Says how this process answers. One at a time for each question; where there is none, the process has nothing to say.
   * @returns how to answer no more.
   * @throws TypeError for an answerer that is no function.
   */
  answer<Question, Answer>(
    question: BusQuestion<Question, Answer>,
    answerer: (question: Question) => Answer | Promise<Answer>,
  ): () => void {
    if (typeof answerer !== "function") {
      throw new TypeError(`answer to ${question.name}: expected a function, got ${shown(answerer)}`);
    }
    this.#answerers.set(question.name, answerer as (question: unknown) => unknown);
    return () => {
      if (this.#answerers.get(question.name) === answerer) this.#answerers.delete(question.name);
    };
  }

  /**
   * The answers of all processes that have one, in no order. Rejects only with a TypeError or RangeError, for an option that cannot
   * be.
   */
  async ask<Question, Answer>(
    question: BusQuestion<Question, Answer>,
    about: Question,
    options: AskOptions = NONE,
  ): Promise<Answer[]> {
    if (options !== NONE) checkOptionNames("ask", options, ["timeoutMs"]);
    const { timeoutMs = 1000 } = options;
    if (typeof timeoutMs !== "number" || !(timeoutMs >= 0 && timeoutMs <= MAX_ASK_MS)) {
      throw new RangeError(`ask: timeoutMs: expected 0 to ${MAX_ASK_MS}, got ${shown(timeoutMs)}`);
    }
    return (await this.#collect(question.name, about, timeoutMs, undefined)) as Answer[];
  }

  /** @internal What was said before a process came, for it. */
  get retained(): readonly RetainedMessage[] {
    return [...this.#retained.values()];
  }

  /** @internal What was said before this process came. */
  restore(retained: readonly RetainedMessage[]): void {
    for (const { topic, message, retainAs } of retained) {
      this.#deliver({ bus: "publish", topic, message, retainAs });
    }
  }

  /** @internal Adds a process; returns how to remove it. */
  connect(peer: BusPeer): () => void {
    this.#peers.add(peer);
    return () => {
      this.#peers.delete(peer);
      for (const open of this.#open.values()) answered(open, peer, []);
    };
  }

  /** @internal A message of that process has come. Passed on to the others, which know only this one. */
  receive(message: BusMessage, from: BusPeer): void {
    switch (message.bus) {
      case "publish":
        this.#hear(message, from);
        break;
      case "ask":
        void this.#collect(message.name, message.question, message.timeoutMs, from).then((answers) =>
          from.send({ bus: "answers", id: message.id, answers }),
        );
        break;
      case "answers":
      default: {
        const open = this.#open.get(message.id);
        if (open !== undefined) answered(open, from, message.answers);
      }
    }
  }

  #hear(message: Extract<BusMessage, { bus: "publish" }>, from: BusPeer | undefined): void {
    for (const peer of this.#peers) if (peer !== from) peer.send(message);
    this.#deliver(message);
  }

  #deliver({ topic, message, retainAs }: Extract<BusMessage, { bus: "publish" }>): void {
    if (retainAs !== undefined) {
      const key = JSON.stringify([topic, retainAs]);
      this.#retained.delete(key);
      this.#retained.set(key, { topic, retainAs, message });
    }
    for (const listener of this.#listeners.get(topic) ?? []) tell(listener, topic, message);
  }

  async #collect(name: string, question: unknown, timeoutMs: number, except: BusPeer | undefined): Promise<unknown[]> {
    const others = [...this.#peers].filter((peer) => peer !== except);
    const [own, theirs] = await Promise.all([
      this.#ownAnswer(name, question, timeoutMs),
      others.length === 0 ? [] : this.#askPeers(others, name, question, timeoutMs),
    ]);
    return [...own, ...theirs];
  }

  async #ownAnswer(name: string, question: unknown, timeoutMs: number): Promise<unknown[]> {
    const answerer = this.#answerers.get(name);
    if (answerer === undefined) return [];
    try {
      const answer = Promise.resolve(answerer(question)).then((value) => [value]);
      return await Promise.race([answer, after(timeoutMs)]);
    } catch (err) {
      log.error({ err, question: name }, "could not answer another process");
      return [];
    }
  }

  #askPeers(peers: readonly BusPeer[], name: string, question: unknown, timeoutMs: number): Promise<unknown[]> {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#open.delete(id);
        resolve(open.answers);
      };
      const open: OpenQuestion = { waiting: new Set(peers), answers: [], settle };
      // A little more than they have, so that the answers of those that they in turn ask arrive.
      const timer = setTimeout(settle, timeoutMs + 100);
      this.#open.set(id, open);
      for (const peer of peers) peer.send({ bus: "ask", id, name, question, timeoutMs });
    });
  }
}

function answered(open: OpenQuestion, peer: BusPeer, answers: readonly unknown[]): void {
  if (!open.waiting.delete(peer)) return;
  open.answers.push(...answers);
  if (open.waiting.size === 0) open.settle();
}

function tell(listener: (message: unknown) => unknown, topic: string, message: unknown): void {
  const failed = (err: unknown): void => log.error({ err, topic }, "a listener of the server's bus failed");
  try {
    const given = listener(message);
    if (isPromise(given)) given.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}

function after(ms: number): Promise<unknown[]> {
  return new Promise((resolve) => setTimeout(resolve, ms, []).unref());
}
