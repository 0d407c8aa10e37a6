// The worker of paint.js: draws on a canvas that the page has handed over.

import { brush } from "./brush.js";

let tool;

onmessage = async ({ data: { canvas, frame, look, shot } }) => {
  if (canvas) tool = brush(canvas);
  else if (shot) postMessage({ blob: await tool.shot(look) });
  else tool.draw(frame, look).finally(() => postMessage({}));
};
postMessage({ isReady: true });
