import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { openStream, watch } from "../../../clients/browser/stream.js";
import { pack, unpack } from "../../../clients/browser/wire.js";

const MODEL = { name: "m", classes: [{ name: "sky", colour: [1, 2, 3] }], memory_horizon: 2 };
const MASK = { encoding: "raw", width: 2, height: 1, memory: { filled: 0, reset: null }, overlay: 0 };

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
});

/** A socket whose server is the test; `Socket.made` has all, in order. */
class Socket {
  static made = [];
  sent = [];

  constructor(url) {
    this.url = url;
    Socket.made.push(this);
  }

  send(data) {
    this.sent.push(data);
  }

  close(code) {
    this.closed = code;
  }

  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  async mask(header, labels = [0, 0]) {
    this.onmessage({ data: await pack({ ...MASK, ...header }, Uint8Array.from(labels)).arrayBuffer() });
  }

  greet(fields = {}) {
    this.onopen();
    this.say({ type: "ready", model: MODEL, window: 3, resume: "token", memory: "new", ...fields });
    this.say({ type: "pong" });
  }

  get texts() {
    return this.sent.filter((one) => typeof one === "string").map((one) => JSON.parse(one));
  }

  async headers() {
    const blobs = this.sent.filter((one) => one instanceof Blob);
    const messages = await Promise.all(blobs.map(async (one) => new Uint8Array(await one.arrayBuffer())));
    return messages.map((bytes) => unpack(bytes).header);
  }
}

/** Let all promises settle: the timers are mocked. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function opened(start = openStream, options = {}) {
  Socket.made = [];
  const events = [];
  const note = (name) => (...given) => events.push([name, ...given]);
  const names = ["onready", "onmask", "onlost", "onstate", "onerror"];
  const listeners = Object.fromEntries(names.map((name) => [name, note(name.slice(2))]));
  const stream = start("http://here/v1/stream", { Socket, ...listeners, ...options });
  await settled();
  const of = (kind) => events.filter(([name]) => name === kind).map(([, ...given]) => given);
  return { stream, of, socket: () => Socket.made.at(-1) };
}

async function reconnected(socket, code = 1006) {
  socket().onclose({ code, reason: "" });
  mock.timers.tick(15_000);
  await settled();
}

const picture = () => ({ closed: 0, close() { this.closed++; } });

test("a stream opens, and is live once no other ready can come", async () => {
  const { stream, socket } = await opened(openStream, { open: { output: "raw" } });
  assert.equal(socket().url, "ws://here/v1/stream");
  socket().onopen();
  assert.deepEqual(socket().texts, [{ type: "open", output: "raw", resume: null }, { type: "ping" }]);
  socket().say({ type: "ready", model: MODEL, window: 1 });
  socket().say({ type: "ready", model: MODEL, window: 3 });
  assert.equal(stream.state, "connecting");
  socket().say({ type: "pong" });
  assert.deepEqual([stream.state, stream.ready.window], ["live", 3]);
  stream.close();
});

test("pictures come back with their masks, and those of lost frames are closed", async () => {
  const { stream, socket, of } = await opened();
  const pictures = [picture(), picture(), picture(), picture()];
  assert.equal(stream.send(new Uint8Array(1), { picture: pictures[0] }), null);
  socket().greet();
  for (const one of pictures.slice(1)) stream.send(new Uint8Array(1), { picture: one });
  assert.equal(stream.send(new Uint8Array(1)), null);
  await socket().mask({ seq: 0 }, [0, 1]);
  socket().say({ type: "dropped", seqs: [1], cause: "newer" });
  await settled();
  const [[mask]] = of("mask");
  assert.deepEqual([[...mask.labels], mask.picture], [[0, 1], pictures[1]]);
  assert.deepEqual(of("lost"), [[{ seqs: [1], cause: "newer", detail: "" }]]);
  stream.close();
  assert.deepEqual(pictures.map(({ closed }) => closed), [1, 0, 1, 1]);
});

test("frames without an answer are sent again, and an intact session is not replayed", async () => {
  const { stream, socket } = await opened();
  socket().greet();
  for (const pts of [0, 1, 2]) stream.send(new Uint8Array(1), { pts });
  await socket().mask({ seq: 0 });
  await reconnected(socket);
  socket().greet({ memory: "intact" });
  assert.equal(socket().texts[0].resume, "token");
  assert.deepEqual(await socket().headers(), [{ seq: 1, pts: 1 }, { seq: 2, pts: 2 }]);
  stream.close();
});

test("a lost memory is replayed, and again until a mask has come", async () => {
  const { stream, socket, of } = await opened();
  socket().greet();
  for (const pts of [0, 1, 2]) stream.send(new Uint8Array(1), { pts });
  await socket().mask({ seq: 0 });
  await socket().mask({ seq: 1 });
  const again = [{ seq: 0, pts: 0, replay: true }, { seq: 1, pts: 1, replay: true }, { seq: 2, pts: 2 }];
  for (const resume of ["token", null]) {
    await reconnected(socket);
    socket().greet({ memory: resume ? "cold" : "new", resume: "other" });
    assert.equal(socket().texts[0].resume, resume);
    assert.deepEqual(await socket().headers(), again);
  }
  await socket().mask({ seq: 2 });
  await reconnected(socket);
  socket().onopen();
  assert.equal(socket().texts[0].resume, "other");
  assert.deepEqual(of("ready").map(([, memory]) => memory), ["new", "rebuilt", "rebuilt"]);
  stream.close();
});

test("a memory that cannot be rebuilt is reported as cold", async () => {
  const { stream, socket, of } = await opened();
  const model = { ...MODEL, memory_horizon: null };
  socket().greet({ model });
  stream.send(new Uint8Array(1));
  await socket().mask({ seq: 0 });
  await reconnected(socket);
  socket().greet({ model, memory: "cold" });
  await settled();
  assert.deepEqual(of("ready").map(([, memory]) => memory), ["new", "cold"]);
  assert.deepEqual(await socket().headers(), []);
  stream.close();
});

test("another model ends the stream", async () => {
  const { stream, socket, of } = await opened();
  socket().greet();
  await reconnected(socket);
  socket().greet({ model: { ...MODEL, fingerprint: "another" } });
  await settled();
  assert.equal(stream.state, "ended");
  assert.match(of("state").at(-1)[1], /model has changed/);
});

for (const [code, state] of [[1012, "waiting"], [4503, "waiting"], [4404, "ended"], [4409, "ended"]])
  test(`after a close with ${code} the stream is ${state}, with the server's sentence`, async () => {
    const { stream, socket, of } = await opened();
    socket().onopen();
    socket().say({ type: "error", code: "word", detail: "Do this.", fatal: true });
    socket().onclose({ code, reason: "word" });
    await settled();
    assert.deepEqual(of("state"), [[state, "Do this."]]);
    stream.close();
  });

test("a server that goes away is given the time that it asks for", async () => {
  const { stream, socket } = await opened();
  socket().greet();
  socket().say({ type: "going_away", reconnect_after_ms: 40_000 });
  socket().onclose({ code: 1012, reason: "going_away" });
  mock.timers.tick(39_000);
  await settled();
  assert.equal(Socket.made.length, 1);
  mock.timers.tick(1_000);
  await settled();
  assert.equal(Socket.made.length, 2);
  stream.close();
});

/** The server closes with `going_away` and names another one. */
async function sendOn(socket, url) {
  socket().say({ type: "going_away", reconnect_after_ms: 40_000, url });
  socket().onclose({ code: 1012, reason: "going_away" });
  mock.timers.tick(0);
  await settled();
}

test("a server that is full or stops sends the stream to another, at once", async () => {
  const { stream, socket } = await opened();
  socket().greet();
  await sendOn(socket, "ws://other/v1/stream");
  assert.deepEqual([Socket.made.length, socket().url], [2, "ws://other/v1/stream"]);
  stream.close();
});

test("servers that send each other streams keep none for ever", async () => {
  const { stream, socket } = await opened();
  const entry = socket().url;
  for (let hop = 0; hop < 4; hop++) await sendOn(socket, `ws://other/${hop}`);
  assert.deepEqual([Socket.made.length, socket().url], [5, "ws://other/3"]);
  await sendOn(socket, "ws://other/4");
  assert.equal(Socket.made.length, 5);
  mock.timers.tick(40_000);
  await settled();
  assert.deepEqual([Socket.made.length, socket().url], [6, entry]);
  stream.close();
});

test("a connection that says nothing is given up, without ending its session", async () => {
  const { stream, socket } = await opened();
  socket().greet();
  mock.timers.tick(15_000);
  assert.equal(stream.state, "live");
  const silent = socket();
  mock.timers.tick(15_000);
  assert.deepEqual([stream.state, silent.closed], ["waiting", 3000]);
  stream.retry();
  await settled();
  assert.equal(Socket.made.length, 2);
  stream.close();
});

test("room waits for an answer, for at most so many frames in flight, and not for ever", async () => {
  const { stream, socket } = await opened();
  const order = [];
  stream.room().then((given) => order.push(["live", given]));
  socket().greet();
  await settled();
  stream.send(new Uint8Array(1));
  stream.room(1).then((given) => order.push(["answered", given]));
  await settled();
  assert.deepEqual(order, [["live", true]]);
  await socket().mask({ seq: 0 });
  await settled();
  for (let sent = 0; sent < 3; sent++) stream.send(new Uint8Array(1));
  stream.room().then((given) => order.push(["ended", given]));
  stream.close();
  await settled();
  assert.deepEqual(order, [["live", true], ["answered", true], ["ended", false]]);
});

test("masks are delivered before the end", async () => {
  const { stream, socket, of } = await opened();
  socket().greet();
  stream.send(new Uint8Array(1));
  stream.end();
  await socket().mask({ seq: 0 });
  socket().say({ type: "end" });
  await settled();
  assert.deepEqual([of("mask").length, of("state").at(-1)], [1, ["ended", ""]]);
  assert.deepEqual(socket().texts.at(-1), { type: "end" });
});

test("an answer that cannot be read ends the stream in words", async () => {
  const { socket, of } = await opened();
  socket().greet();
  socket().onmessage({ data: new ArrayBuffer(2) });
  await settled();
  assert.match(of("state").at(-1)[1], /cannot be read/);
  assert.equal(of("error").length, 1);
});

test("a viewer sends nothing, is live at once, and never replays", async () => {
  const { stream, socket, of } = await opened(watch, { open: { overlay: true } });
  socket().onopen();
  socket().say({ type: "ready", model: MODEL, window: 8, memory: "new" });
  await socket().mask({ seq: 41, overlay: 1 }, [0, 1, 255]);
  await settled();
  const [[mask]] = of("mask");
  assert.deepEqual([[...mask.labels], [...mask.overlay]], [[0, 1], [255]]);
  await reconnected(socket);
  socket().greet();
  await settled();
  assert.deepEqual(of("ready").map(([, memory]) => memory), ["new", "new"]);
  assert.deepEqual(await socket().headers(), []);
  stream.close();
});

test("an address may be made for each connection, and one that cannot be made is tried again", async () => {
  const addresses = [() => "http://here/a", () => Promise.reject(new Error("No ticket.")), () => "http://here/b"];
  Socket.made = [];
  const states = [];
  const onstate = (...state) => states.push(state);
  const stream = openStream(async () => addresses.shift()(), { Socket, onstate });
  await settled();
  for (let tries = 0; tries < 2; tries++) await reconnected(() => Socket.made.at(-1));
  assert.deepEqual(Socket.made.map(({ url }) => url), ["ws://here/a", "ws://here/b"]);
  assert.ok(states.some(([state, sentence]) => state === "waiting" && sentence === "No ticket."));
  stream.close();
});
