// Where a stream connects: to its entry, or to the address that a server named.

const MAX_HOPS = 4; // how often servers may send a stream on between two answers

/** Whether a stream that entered at `entry` may go to `url`: a WebSocket, and never without TLS after TLS. */
export const mayFollow = (entry, url) => {
  try {
    const { protocol, username } = new URL(url);
    return !username && (protocol === "wss:" || (protocol === "ws:" && !entry.startsWith("wss:")));
  } catch {
    return false;
  }
};

/** The route of one stream. `named` is the address to which a server has just sent it, or null. */
export class Route {
  named = null;
  #entry = ""; // the last address that no server has named
  #hops = 0;

  /** The stream connects to `url` now. */
  connects(url) {
    if (!this.named) this.#entry = url;
  }

  /** The connection has ended. Go to `url` if the server named it and it is allowed, otherwise to the entry. */
  lost(url) {
    const may = url && this.#hops < MAX_HOPS && mayFollow(this.#entry, url);
    this.named = may ? url : null;
    this.#hops = may ? this.#hops + 1 : 0;
  }

  /** A frame was answered: the server works. */
  answered() {
    this.#hops = 0;
  }
}
