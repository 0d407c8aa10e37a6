// The worker of paint.js: draws on a canvas that the page has handed over.

import { brush } from "./brush.js";

let tool, drawn = Promise.resolve();

onmessage = async ({ data: { canvas, frame, look, shot } }) => {
  if (canvas) tool = brush(canvas);
  else if (shot) postMessage({ blob: await drawn.then(() => tool.shot(look)) });
  else drawn = new Promise(requestAnimationFrame).then(() => postMessage({ drawn: tool.draw(frame, look) }));
};
postMessage({ isReady: true });
