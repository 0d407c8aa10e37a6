// Stream pictures through the page's stream.js: node page_stream.mjs URL COUNT WIDTH HEIGHT OUTPUT
//
// Prints a line of JSON for each event: {mask, labels, reset}, {lost, cause}, {ready}, {state, sentence}. The
// labels are printed as their SHA-256: lines must be short, or a full pipe stops this process.

import { createHash } from "node:crypto";
import { openStream } from "../../../clients/browser/stream.js";
import { picture } from "./pictures.mjs";
import { WebSocket } from "./web_socket.mjs";

const [, , url, count, width, height, output] = process.argv;
const say = (event) => console.log(JSON.stringify(event));

const stream = openStream(async () => url, {
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
  if (stream.send(picture(number, width, height), { pts: number / 25, reset: number === 3 }) !== null) number++;
stream.end();
