// Stream pictures through the page's stream.js: node page_stream.mjs URL COUNT WIDTH HEIGHT OUTPUT
//
// Prints a line of JSON for each event: {mask, labels, reset}, {lost, cause}, {ready}, {state, sentence}. The
// labels are printed as their SHA-256: lines must be short, or a full pipe stops this process.

import { createHash } from "node:crypto";
import { openStream } from "../../../clients/browser/stream.js";
import { WebSocket } from "./web_socket.mjs";

const [, , url, count, width, height, output] = process.argv;
const say = (event) => console.log(JSON.stringify(event));

/** A picture that differs for each number and has a label of its own in most places. */
function picture(number) {
  const pixels = new Uint8Array(width * height * 3);
  let state = number + 1;
  for (let at = 0; at < pixels.length; at++) pixels[at] = (state = (state * 1103515245 + 12345) % 2 ** 31) >> 16;
  return pixels;
}

const stream = openStream(url, {
  open: { input: "rgb24", width: Number(width), height: Number(height), output, policy: "every" },
  Socket: WebSocket,
  onready: (_, memory) => say({ ready: memory }),
  onmask: ({ seq, labels, memory }) =>
    say({ mask: seq, labels: createHash("sha256").update(labels).digest("hex"), reset: memory.reset }),
  onlost: ({ seqs, cause }) => say({ lost: seqs, cause }),
  onstate: (state, sentence) => say({ state, sentence }),
  onerror: (error) => say({ error: error.message }),
});
for (let number = 0; number < count && (await stream.room()); )
  if (stream.send(picture(number), { pts: number / 25, reset: number === 3 }) !== null) number++;
stream.end();
