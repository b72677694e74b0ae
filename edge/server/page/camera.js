// The camera in a dialog: a live view, one frame of it, or words about why there is none.
import {encode} from '/picture.js';

const find = (id) => document.getElementById(id);

const REASONS = {
  NotAllowedError: 'The camera was not allowed. The browser\'s settings for this site can change that.',
  NotFoundError: 'No camera was found.',
  NotReadableError: 'The camera is used by another program.',
  OverconstrainedError: 'No camera was found.',
};

// Resolves to a picture, or to null where the dialog was closed.
export function takePicture() {
  const dialog = find('shutter');
  const video = find('video');
  const text = find('shutter-text');
  const take = find('shutter-take');
  const turn = find('shutter-turn');
  let stream = null;
  let facing = 'environment';
  let open = true;

  const end = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
  };
  const start = async () => {
    end();
    take.disabled = true;
    text.textContent = 'Waiting for the camera';
    if (!navigator.mediaDevices?.getUserMedia) {
      text.textContent = 'Browsers give the camera only to pages from this machine or over HTTPS.';
      return;
    }
    try {
      const given = await navigator.mediaDevices.getUserMedia({video: {facingMode: facing, width: {ideal: 1600}}});
      if (!open) {
        for (const track of given.getTracks()) track.stop();
        return;
      }
      stream = given;
      video.srcObject = stream;
      await video.play();
      text.textContent = '';
      take.disabled = false;
      take.focus();
      const devices = await navigator.mediaDevices.enumerateDevices();
      turn.hidden = devices.filter((device) => device.kind === 'videoinput').length < 2;
    } catch (error) {
      text.textContent = REASONS[error.name] ?? 'The camera does not work: ' + error.message;
    }
  };

  return new Promise((resolve) => {
    let picture = null;
    take.onclick = () => {
      picture = encode(video, video.videoWidth, video.videoHeight, 'from the camera', false);
      dialog.close();
    };
    turn.onclick = () => {
      facing = facing === 'environment' ? 'user' : 'environment';
      start();
    };
    find('shutter-close').onclick = () => dialog.close();
    dialog.onclose = () => {
      open = false;
      end();
      resolve(picture);
    };
    dialog.showModal();
    start();
  });
}
