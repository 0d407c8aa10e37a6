// Copies each frame for the screen and encodes it for the server, away from the page's thread.

const canvas = new OffscreenCanvas(1, 1);
const LARGEST = 1920;

onmessage = ({ data }) => encode(data).catch((error) => postMessage({ error: error.message }));

async function encode({ frame, width, height, quality }) {
  const picture = await keep(frame).finally(() => frame.close());
  Object.assign(canvas, { width, height });
  canvas.getContext("2d", { alpha: false }).drawImage(picture, 0, 0, width, height);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  const jpeg = await blob.arrayBuffer();
  postMessage({ jpeg, picture }, [jpeg, picture]);
}

function keep(frame) {
  const width = frame.displayWidth ?? frame.width;
  return createImageBitmap(frame, width > LARGEST ? { resizeWidth: LARGEST, resizeQuality: "medium" } : {});
}
