// The page without a network: its own files, from one cache for each version. The models are the package's to keep.
// site.js is made by web/site.mjs: it names the version (a hash of all files) and the files, so that a change of any of
// them is a new worker with a new cache.
importScripts('site.js');
const {version, files} = self.MOTE_SITE;
const NAME = `mote-site-${version}`;
const at = (file) => new URL(file, self.registration.scope).href;
const OWN = new Set(files.map(at));

self.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(NAME);
    // Past the browser's own cache, which may hold files of an older version.
    await cache.addAll(files.map((file) => new Request(at(file), {cache: 'no-cache'})));
    await self.skipWaiting();
  })());
});

self.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith('mote-site-') && name !== NAME) await caches.delete(name);
    await self.clients.claim();
  })());
});

// From the cache first: the files of one version belong together, and a new version comes as a new worker.
self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = '';
  if (event.request.method !== 'GET' || !OWN.has(url.href)) return;
  event.respondWith((async () => await (await caches.open(NAME)).match(url.href) ?? fetch(event.request))());
});
