/** Who can be in a {@link Roster}, in one at a time. */
export interface RosterMember {
  /** @internal Where it stands; -1: nowhere. */
  rosterPlace: number;
}

/**
 * Who is here now, where many come and go: connections of a service, exchanges of a connection.
 *
 * A `Set` or a `Map` must not be used for that. When it has seen as many come as it has room for, it moves to a new table, and the old one,
 * which still names all who were there, points to the new one for iterators that may be on their way. Once one such table is in the old
 * generation of the heap, as happens to every connection that is quiet for a while, it keeps the next from being collected with the young,
 * which becomes old by that, and so on: nobody who ever was a member is collected before the whole heap is. (HTTP/2 on both sides: 15 ms
 * for each collection of the young, of which there are eight a second, instead of 0.5.)
 */
export class Roster<T extends RosterMember> implements Iterable<T> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  has(member: T): boolean {
    const place = member.rosterPlace;
    return place >= 0 && this.#members[place] === member;
  }

  /** Does nothing for one that is here already. */
  add(member: T): void {
    if (this.has(member)) return;
    member.rosterPlace = this.#members.push(member) - 1;
  }

  /** Gives whether it was here. */
  delete(member: T): boolean {
    if (!this.has(member)) return false;
    const last = this.#members.pop()!;
    if (last !== member) {
      this.#members[member.rosterPlace] = last;
      last.rosterPlace = member.rosterPlace;
    }
    member.rosterPlace = -1;
    return true;
  }

  /** Those who are here now, in any order, without those who leave meanwhile; who comes meanwhile is not among them. */
  *[Symbol.iterator](): Iterator<T> {
    for (const member of this.#members.slice()) if (this.has(member)) yield member;
  }
}
