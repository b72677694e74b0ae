// The page without a network: its own files from the cache where the server does not answer. Never the protocol.

const CACHE = 'mote-page';
const FILES = ['/', '/style.css', '/app.js', '/camera.js', '/picture.js', '/scenes.js', '/server.js', '/turn.js', '/icon.svg',
               '/manifest.webmanifest'];

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim());
});

// The server first, so that a new version is there at once; it answers 304 for what has not changed.
async function fresh(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== self.location.origin || !FILES.includes(url.pathname)) return;
  event.respondWith(fresh(event.request));
});
