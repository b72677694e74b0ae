// The camera in the place of the picture: a live view, one frame of it, or words about why there is none.
const find = (id) => document.getElementById(id);

const REASONS = {
  NotAllowedError: 'The camera was not allowed. The browser\'s settings for this site can change that.',
  NotFoundError: 'No camera was found.',
  NotReadableError: 'The camera is used by another program.',
  OverconstrainedError: 'No camera was found.',
};

// Resolves to an ImageBitmap of the middle square, or to null where it was left. Rejects with words for people.
export async function takePicture() {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error('Browsers give the camera only to pages over HTTPS or from this machine.');
  const video = find('video');
  const [lens, take, turn, close] = ['lens', 'lens-take', 'lens-turn', 'lens-close'].map(find);
  let stream = null;
  let facing = 'environment';
  const gone = new AbortController();

  const stop = (one) => { for (const track of one?.getTracks() ?? []) track.stop(); };
  const end = () => {
    stop(stream);
    stream = null;
    video.srcObject = null;
  };
  const begin = async () => {
    end();
    take.disabled = turn.disabled = true;
    const given = await navigator.mediaDevices.getUserMedia({video: {facingMode: facing, width: {ideal: 1280}}});
    // People may take minutes to allow it, and have left by then: nobody else would ever switch it off.
    if (gone.signal.aborted) return stop(given);
    stream = given;
    video.srcObject = stream;
    await video.play();
    if (gone.signal.aborted) return;
    take.disabled = turn.disabled = false;
    take.focus();
    const devices = await navigator.mediaDevices.enumerateDevices();
    turn.hidden = devices.filter((device) => device.kind === 'videoinput').length < 2;
  };

  video.hidden = lens.hidden = false;
  try {
    return await new Promise((resolve, reject) => {
      const on = (target, type, listener) => target.addEventListener(type, listener, {signal: gone.signal});
      const start = () => begin().catch(reject);
      on(take, 'click', () => {
        const {videoWidth: width, videoHeight: height} = video;
        const side = Math.min(width, height);
        take.disabled = true;
        createImageBitmap(video, (width - side) / 2, (height - side) / 2, side, side).then((bitmap) => {
          if (gone.signal.aborted) bitmap.close();
          resolve(bitmap);
        }, reject);
      });
      on(turn, 'click', () => {
        facing = facing === 'environment' ? 'user' : 'environment';
        start();
      });
      on(close, 'click', () => resolve(null));
      on(document, 'keydown', (event) => { if (event.key === 'Escape') resolve(null); });
      start();
    });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera does not work: ${error.message}`);
  } finally {
    gone.abort();
    end();
    video.hidden = lens.hidden = true;
  }
}
