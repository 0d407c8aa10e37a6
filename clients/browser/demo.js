// A clip drawn in the browser, for a first try: a passing street, each frame with its number.

const WIDTH = 640, HEIGHT = 480, RATE = 15, FRAMES = 60;

/** Return a MediaStream of the street. It is drawn until its track is stopped. */
export function demoStream() {
  const { stream, play } = clip();
  play(Infinity);
  return stream;
}

/** Return a File with a few seconds of the street. It is recorded as it plays. */
export async function demoFile() {
  const { stream, play } = clip(), parts = [];
  const recorder = new MediaRecorder(stream, { videoBitsPerSecond: 4e6 });
  const event = (name) => new Promise((resolve) => recorder.addEventListener(name, resolve, { once: true }));
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.start();
  await event("start");
  await play(FRAMES);
  recorder.stop();
  await event("stop");
  const type = recorder.mimeType.split(";")[0];
  return new File(parts, `street.${type.split("/")[1]}`, { type });
}

function clip() {
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  const context = canvas.getContext("2d"), stream = canvas.captureStream(RATE), [track] = stream.getTracks();
  const play = (frames) => new Promise((resolve) => {
    let number = 0;
    const timer = setInterval(() => {
      if (track.readyState === "live" && number < frames) return drawStreet(context, number++);
      clearInterval(timer);
      resolve();
    }, 1000 / RATE);
  });
  drawStreet(context, 0);
  return { stream, play };
}

/** Draw one frame of the street on a 2D context of 640 x 480. */
export function drawStreet(context, number) {
  const box = (colour, ...place) => {
    context.fillStyle = colour;
    context.fillRect(...place);
  };
  const disc = (colour, x, y, radius) => {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fill();
  };
  // Things that pass by: one every `step` pixels, at `speed` pixels per frame, each with its own number.
  const passing = (step, speed, draw) => {
    const gone = number * speed, first = Math.floor(gone / step) - 1;
    for (let i = first; i * step - gone < WIDTH + step; i++) draw(i * step - gone, Math.abs((i * 7919) % 11));
  };
  box(sky(context), 0, 0, WIDTH, 290);
  passing(110, 1, (x, kind) => building(box, x, 96, 110 + kind * 9, 226 - kind * 3));
  passing(190, 2.5, (x, kind) => building(box, x, 150, 150 - kind * 7, 176 - kind * 4));
  box("#b9b2a8", 0, 290, WIDTH, 42);
  box("#8d8880", 0, 328, WIDTH, 5);
  box("#55585d", 0, 333, WIDTH, HEIGHT);
  passing(130, 7, (x) => box("#e8e6df", x, 404, 62, 7));
  passing(260, 4, (x, kind) => tree(box, disc, x + kind * 9, 296));
  passing(330, 4, (x) => lamp(box, x + 70));
  passing(170, 3.2, (x, kind) => walker(box, disc, x + kind * 5, number + kind, kind));
  passing(470, 1.2, (x, kind) => car(box, disc, x + kind * 12, 352, kind));
  passing(620, 9.5, (x, kind) => car(box, disc, x + kind * 8, 420, kind + 1));
  box("#fff", 12, 12, 96, 44);
  context.fillStyle = "#111";
  context.font = "bold 34px monospace";
  context.fillText(String(number % 10000).padStart(4, "0"), 19, 46);
}

function sky(context) {
  const colours = context.createLinearGradient(0, 0, 0, 290);
  colours.addColorStop(0, "#7fb0de");
  colours.addColorStop(1, "#e6eef4");
  return colours;
}

function building(box, x, width, top, light) {
  box(`rgb(${light} ${light - 14} ${light - 30})`, x, top, width, 292 - top);
  for (let row = top + 14; row < 262; row += 30)
    for (let column = x + 12; column < x + width - 14; column += 24) box("#4d5a68", column, row, 11, 17);
}

function tree(box, disc, x, y) {
  box("#5f4632", x - 5, y - 62, 10, 78);
  const crowns = [[-22, 74, 27], [20, 78, 29], [0, 104, 32]];
  for (const [across, up, radius] of crowns) disc("#4c7a3d", x + across, y - up, radius);
}

function lamp(box, x) {
  box("#3c4148", x, 140, 6, 178);
  box("#3c4148", x - 26, 138, 32, 6);
  box("#f4e9b8", x - 28, 144, 18, 6);
}

function walker(box, disc, x, step, kind) {
  const swing = Math.sin(step / 2) * 6;
  box("#2c3140", x - 5 + swing, 296, 6, 26);
  box("#2c3140", x - 1 - swing, 296, 6, 26);
  box(["#b5483a", "#3b6ea5", "#e0c04c", "#5b8c5a"][kind % 4], x - 8, 264, 16, 35);
  disc("#d9a982", x, 256, 8);
}

function car(box, disc, x, y, kind) {
  const colour = ["#a63d40", "#2f6690", "#d8d4c7", "#3a7d44", "#e0a458"][kind % 5];
  box(colour, x, y, 132, 28);
  box(colour, x + 26, y - 22, 74, 24);
  box("#c9dbe6", x + 34, y - 17, 26, 17);
  box("#c9dbe6", x + 66, y - 17, 26, 17);
  for (const wheel of [28, 104]) disc("#1c1d20", x + wheel, y + 28, 13);
}
