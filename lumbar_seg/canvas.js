// Shows a frame with its masks, and tells Python what keys and strokes come in. It decides nothing: masks, undo and files are Python's.
const KEYS = {                       // key -> command; with Ctrl: "Ctrl+z"
  ArrowRight: 'next', ArrowLeft: 'previous', Home: 'first', End: 'last', k: 'keep', r: 'reject', f: 'fix', u: 'take back', e: 'draw',
  z: 'zoom', ' ': 'masks', c: 'contour', p: 'panels', t: 'thumbnails', b: 'brush', x: 'eraser', l: 'line', s: 'save', Escape: 'leave',
  Enter: 'end line', '[': 'thinner', ']': 'thicker', 'Ctrl+z': 'undo', 'Ctrl+y': 'redo', 'Ctrl+Z': 'redo',
};
const css = color => `rgb(${color.join(',')})`;

async function bitmap(bytes) { return createImageBitmap(new Blob([bytes])); }

function offscreen(source, change) {          // a canvas with the pixels of `source`, passed through `change`
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [source.width, source.height];
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(source, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  change(pixels.data, canvas.width, canvas.height);
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function tinted(mask, color, contour) {      // the mask in its color, or its rim alone
  return offscreen(mask, (data, width, height) => {
    const words = new Uint32Array(data.buffer), inside = new Uint8Array(width * height);      // a word is a pixel: alpha, blue, green, red
    const [red, green, blue] = color, ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    for (let i = 0; i < inside.length; i++) inside[i] = (words[i] & 255) > 127;
    for (let i = 0; i < inside.length; i++) {
      let on = inside[i];
      if (on && contour) {
        const x = i % width;
        on = !(x > 0 && inside[i - 1] && x < width - 1 && inside[i + 1] && inside[i - width] && inside[i + width]);
      }
      words[i] = on ? ink : 0;
    }
  });
}

function toned(frame, contrast, gamma) {      // gray values about the middle, then to the power of 1 / gamma
  if (contrast === 1 && gamma === 1) return frame;
  const table = Uint8ClampedArray.from({length: 256}, (_, v) => 255 * Math.max(0, Math.min(1, (v / 255 - .5) * contrast + .5)) ** (1 / gamma));
  return offscreen(frame, data => { for (let i = 0; i < data.length; i++) if (i % 4 < 3) data[i] = table[data[i]]; });
}

function render({model, el}) {
  const root = document.createElement('div'), canvas = document.createElement('canvas'), context = canvas.getContext('2d');
  root.className = 'lumbar-canvas'; root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = 'true';           // Jupyter's own keys, such as C for copying a cell, do not reach in here
  root.setAttribute('role', 'application');
  root.setAttribute('aria-label', 'Frame and masks. Arrows step, k keeps, r rejects, e draws.');
  [canvas.width, canvas.height] = model.get('size');
  root.append(canvas); el.append(root);
  let frame = null, shown = null, layers = [], view = {x: 0, y: 0, scale: 1}, stroke = [], dragging = null, current = 0;

  const panels = () => model.get('panels') && !model.get('tool') && layers.length > 1 ? layers.length : 1;

  function fit() {                            // the whole frame, or the box of the bone
    if (!frame) return;
    const box = model.get('zoomed') && model.get('picture').box || [0, 0, frame.width, frame.height];
    const width = canvas.width / panels(), scale = Math.min(width / (box[2] - box[0]), canvas.height / (box[3] - box[1]));
    view = {scale, x: (box[0] + box[2]) / 2 - width / 2 / scale, y: (box[1] + box[3]) / 2 - canvas.height / 2 / scale};
  }

  function draw() {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = '#000'; context.fillRect(0, 0, canvas.width, canvas.height);
    if (!shown) return;
    const n = panels(), width = canvas.width / n;
    for (let panel = 0; panel < n; panel++) {
      context.save();
      context.beginPath(); context.rect(panel * width, 0, width - (n > 1 ? 2 : 0), canvas.height); context.clip();
      context.setTransform(view.scale, 0, 0, view.scale, panel * width - view.x * view.scale, -view.y * view.scale);
      context.imageSmoothingEnabled = view.scale < 3;
      context.drawImage(shown, 0, 0);
      const mine = n > 1 ? [layers[panel]] : layers;
      if (model.get('visible')) for (const layer of mine) {
        context.globalAlpha = model.get('contour') ? 1 : model.get('opacity');
        context.drawImage(layer.picture, 0, 0);
      }
      context.globalAlpha = 1;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.font = '12px sans-serif';
      mine.forEach((layer, k) => { context.fillStyle = css(layer.color); context.fillText(layer.name, panel * width + 6, 16 + 15 * k); });
      context.restore();
    }
    preview();
  }

  function preview() {                        // the stroke under the pointer; Python makes the mask of it
    if (!stroke.length) return;
    context.save();
    context.setTransform(view.scale, 0, 0, view.scale, -view.x * view.scale, -view.y * view.scale);
    context.strokeStyle = model.get('tool') === 'eraser' ? 'rgba(120,120,120,.8)' : 'rgba(240,228,66,.7)';
    context.lineWidth = model.get('thickness'); context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    stroke.forEach(([x, y], k) => k ? context.lineTo(x + .5, y + .5) : context.moveTo(x + .5, y + .5));
    if (stroke.length === 1) context.lineTo(stroke[0][0] + .51, stroke[0][1] + .5);
    context.stroke();
    context.restore();
  }

  async function load() {                     // an old picture that is still being decoded must not replace a newer one
    const picture = model.get('picture'), mine = ++current;
    if (!picture.frame) return;
    const [newFrame, ...masks] = await Promise.all([picture.frame, ...picture.layers.map(l => l.png)].map(bitmap));
    if (mine !== current) return;
    const fresh = root.dataset.frame !== picture.name || !frame || frame.width !== newFrame.width;
    frame = newFrame;
    layers = picture.layers.map((l, k) => ({...l, mask: masks[k], picture: tinted(masks[k], l.color, model.get('contour'))}));
    shown = toned(frame, model.get('contrast'), model.get('gamma'));
    if (fresh) { stroke = []; fit(); }
    if (model.get('tool') !== 'line') stroke = [];
    draw();
    root.dataset.frame = picture.name;
    root.dataset.version = picture.version;
    model.send({shown: picture.version});
  }

  function command(name) { model.send({command: name}); }
  function toggle(trait) { model.set(trait, !model.get(trait)); model.save_changes(); }
  function finish() { if (stroke.length) model.send({stroke, tool: model.get('tool')}); }

  root.addEventListener('keydown', event => {
    const name = KEYS[(event.ctrlKey || event.metaKey ? 'Ctrl+' : '') + event.key];
    if (!name || event.altKey) return;
    event.preventDefault(); event.stopPropagation();
    if (name === 'masks') toggle('visible');
    else if (name === 'contour') toggle('contour');
    else if (name === 'panels') toggle('panels');
    else if (name === 'zoom') toggle('zoomed');
    else if (name === 'end line') { finish(); stroke = []; draw(); }
    else if (name === 'undo' && model.get('tool') === 'line' && stroke.length) { stroke.pop(); draw(); }
    else if (!(event.repeat && ['keep', 'reject', 'fix'].includes(name))) command(name);
  });

  const at = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width / view.scale + view.x,
            (event.clientY - box.top) * canvas.height / box.height / view.scale + view.y];
  };
  const pixel = event => at(event).map(Math.floor);
  canvas.addEventListener('pointerdown', event => {
    root.focus({preventScroll: true});
    canvas.setPointerCapture(event.pointerId);
    const tool = model.get('tool');
    if (event.button || event.shiftKey || !tool) { dragging = [event.clientX, event.clientY, view.x, view.y, false]; return; }
    if (tool === 'line') stroke.push(pixel(event)); else stroke = [pixel(event)];
    draw();
  });
  canvas.addEventListener('pointermove', event => {
    if (dragging) {
      const [x, y, left, top] = dragging, scale = canvas.width / canvas.getBoundingClientRect().width / view.scale;
      dragging[4] = dragging[4] || Math.hypot(event.clientX - x, event.clientY - y) > 3;
      view.x = left - (event.clientX - x) * scale; view.y = top - (event.clientY - y) * scale;
      draw();
    } else if (stroke.length && event.buttons === 1 && model.get('tool') !== 'line') { stroke.push(pixel(event)); draw(); }
  });
  canvas.addEventListener('pointerup', event => {
    if (dragging) { if (!dragging[4] && !event.button) model.send({click: pixel(event)}); dragging = null; return; }
    if (model.get('tool') !== 'line') finish();
  });
  canvas.addEventListener('dblclick', () => { if (model.get('tool') === 'line') { finish(); stroke = []; draw(); } });
  canvas.addEventListener('contextmenu', event => event.preventDefault());
  canvas.addEventListener('wheel', event => {
    if (!event.ctrlKey && document.activeElement !== root) return;       // a page that scrolls past is left alone
    event.preventDefault();
    const [x, y] = at(event), factor = Math.exp(-event.deltaY / 400), scale = Math.max(.1, Math.min(40, view.scale * factor));
    view = {scale, x: x - (x - view.x) * view.scale / scale, y: y - (y - view.y) * view.scale / scale};
    draw();
  }, {passive: false});

  model.on('change:picture', load);
  for (const trait of ['opacity', 'visible', 'thickness']) model.on(`change:${trait}`, draw);
  for (const trait of ['zoomed', 'panels']) model.on(`change:${trait}`, () => { fit(); draw(); });
  model.on('change:tool', () => { stroke = []; root.dataset.tool = model.get('tool'); fit(); draw(); });
  model.on('change:contour', () => { for (const l of layers) l.picture = tinted(l.mask, l.color, model.get('contour')); draw(); });
  for (const trait of ['contrast', 'gamma'])
    model.on(`change:${trait}`, () => { if (frame) { shown = toned(frame, model.get('contrast'), model.get('gamma')); draw(); } });
  model.on('msg:custom', message => { if (message.focus) root.focus({preventScroll: true}); });
  root.dataset.tool = model.get('tool');
  load();
}

export default {render};
