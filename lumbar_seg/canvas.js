// Shows a frame with its masks and reports keys, strokes and clicks. Masks, undo and files are left to Python: see
// nbs/51_canvas.ipynb and nbs/52_browser.ipynb.

const KEYS = {                       // key -> command; with Ctrl or Cmd: "Ctrl+z"
  ArrowRight: 'next', ArrowLeft: 'previous', Home: 'first', End: 'last', t: 'thumbnails',
  k: 'keep', r: 'reject', f: 'fix', u: 'take back', d: 'resolve',
  ' ': 'masks', c: 'contour', p: 'panels', z: 'zoom',
  e: 'draw', Escape: 'leave', s: 'save', b: 'brush', x: 'eraser', l: 'line', Enter: 'end line',
  '[': 'thinner', ']': 'thicker', 'Ctrl+z': 'undo', 'Ctrl+y': 'redo', 'Ctrl+Z': 'redo',
};
const TOGGLES = {masks: 'visible', contour: 'contour', panels: 'panels', zoom: 'zoomed'};       // command -> trait
const ONCE = ['keep', 'reject', 'fix', 'take back', 'resolve', 'save'];          // a key held down gives these once

// ---- pictures

async function bitmap(bytes) { return createImageBitmap(new Blob([bytes])); }

function changed(source, change) {          // a copy of `source` with its pixels passed through `change`
  const copy = document.createElement('canvas');
  copy.width = source.width;
  copy.height = source.height;
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(source, 0, 0);
  const pixels = context.getImageData(0, 0, copy.width, copy.height);
  change(pixels.data, copy.width, copy.height);
  context.putImageData(pixels, 0, 0);
  return copy;
}

function tinted(mask, color, contour) {     // the mask in its color: filled, or its contour alone
  return changed(mask, (data, width, height) => {
    const words = new Uint32Array(data.buffer);                     // one word a pixel: alpha, blue, green, red
    const [red, green, blue] = color;
    const ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    const inside = new Uint8Array(width * height);
    for (let i = 0; i < inside.length; i++) inside[i] = (words[i] & 255) > 127;
    for (let i = 0; i < inside.length; i++) {
      let on = inside[i];
      if (on && contour) {
        const x = i % width;
        const left = x > 0 && inside[i - 1], right = x < width - 1 && inside[i + 1];
        const surrounded = left && right && inside[i - width] && inside[i + width];
        on = !surrounded;
      }
      words[i] = on ? ink : 0;
    }
  });
}

function toned(frame, contrast, gamma) {    // contrast about middle gray, then gamma
  if (contrast === 1 && gamma === 1) return frame;
  const table = new Uint8ClampedArray(256);
  for (let value = 0; value < 256; value++) {
    const stretched = (value / 255 - .5) * contrast + .5;
    table[value] = 255 * Math.max(0, Math.min(1, stretched)) ** (1 / gamma);
  }
  return changed(frame, data => {
    for (let i = 0; i < data.length; i++) if (i % 4 < 3) data[i] = table[data[i]];       // every fourth value is alpha
  });
}

// ---- the widget

function render({model, el}) {
  const root = document.createElement('div');
  root.className = 'lumbar-canvas';
  root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = 'true';           // no keys of Jupyter's in here, such as C for copying a cell
  root.setAttribute('role', 'application');
  root.setAttribute('aria-label', 'Frame and masks. Arrows step, K keeps, R rejects, E draws.');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = model.get('size');
  const context = canvas.getContext('2d');
  root.append(canvas);
  el.append(root);

  let frame = null, shown = null;            // the frame as it came, and with contrast and gamma applied
  let layers = [];                           // masks: name, color, mask, picture
  let view = {x: 0, y: 0, scale: 1};         // frame pixel in the top left corner, screen pixels per frame pixel
  let stroke = [];                           // points of the stroke being drawn, in frame pixels
  let dragging = null;                       // where dragging began
  let current = 0;                           // number of the latest picture

  // -- show

  function countPanels() { return model.get('panels') && !model.get('tool') && layers.length > 1 ? layers.length : 1; }

  function fit() {                            // the whole frame, or the box around the bone
    if (!frame) return;
    const bone = model.get('zoomed') && model.get('picture').box;
    const [left, top, right, bottom] = bone || [0, 0, frame.width, frame.height];
    const width = canvas.width / countPanels();
    const scale = Math.min(width / (right - left), canvas.height / (bottom - top));
    view = {scale, x: (left + right) / 2 - width / 2 / scale, y: (top + bottom) / 2 - canvas.height / 2 / scale};
  }

  function toFrame(left = 0) {                // from now on, draw in pixels of the frame
    context.setTransform(view.scale, 0, 0, view.scale, left - view.x * view.scale, -view.y * view.scale);
  }

  function toScreen() { context.setTransform(1, 0, 0, 1, 0, 0); }

  function draw() {
    toScreen();
    context.fillStyle = '#000';
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!shown) return;
    const count = countPanels(), width = canvas.width / count;
    if (count === 1) drawPanel(layers, 0, width);
    else layers.forEach((layer, panel) => drawPanel([layer], panel * width, width - 2));
    preview();
  }

  function drawPanel(ownLayers, left, width) {
    context.save();
    context.beginPath();
    context.rect(left, 0, width, canvas.height);
    context.clip();
    toFrame(left);
    context.imageSmoothingEnabled = view.scale < 3;
    context.drawImage(shown, 0, 0);
    context.globalAlpha = model.get('contour') ? 1 : model.get('opacity');
    if (model.get('visible')) for (const layer of ownLayers) context.drawImage(layer.picture, 0, 0);
    context.globalAlpha = 1;
    toScreen();
    context.font = '12px sans-serif';
    ownLayers.forEach((layer, row) => {
      context.fillStyle = `rgb(${layer.color.join(',')})`;
      context.fillText(layer.name, left + 6, 16 + 15 * row);
    });
    context.restore();
  }

  function preview() {                        // the stroke under the pointer; Python turns it into a mask
    if (!stroke.length) return;
    context.save();
    toFrame();
    context.strokeStyle = model.get('tool') === 'eraser' ? 'rgba(120,120,120,.8)' : 'rgba(240,228,66,.7)';
    context.lineWidth = model.get('thickness');
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    const [first, ...rest] = stroke;
    context.moveTo(first[0] + .5, first[1] + .5);
    for (const [x, y] of rest) context.lineTo(x + .5, y + .5);
    if (!rest.length) context.lineTo(first[0] + .51, first[1] + .5);
    context.stroke();
    context.restore();
  }

  function tone() { shown = toned(frame, model.get('contrast'), model.get('gamma')); }

  async function load() {
    const picture = model.get('picture');
    current += 1;
    const mine = current;
    if (!picture.frame) return;
    const encoded = [picture.frame, ...picture.layers.map(layer => layer.png)];
    const [newFrame, ...masks] = await Promise.all(encoded.map(bitmap));
    if (mine !== current) return;             // a newer picture came while this one was being decoded
    const isNew = root.dataset.frame !== picture.name || !frame || frame.width !== newFrame.width;
    frame = newFrame;
    layers = picture.layers.map((layer, k) => (
      {...layer, mask: masks[k], picture: tinted(masks[k], layer.color, model.get('contour'))}));
    tone();
    if (isNew) { stroke = []; fit(); }
    if (model.get('tool') !== 'line') stroke = [];
    draw();
    root.dataset.frame = picture.name;
    root.dataset.version = picture.version;
    model.send({shown: picture.version});
  }

  // -- keys

  function toggle(trait) {
    model.set(trait, !model.get(trait));
    model.save_changes();
  }

  function sendStroke() { if (stroke.length) model.send({stroke, tool: model.get('tool')}); }

  function endLine() {
    sendStroke();
    stroke = [];
    draw();
  }

  root.addEventListener('keydown', event => {
    const name = KEYS[(event.ctrlKey || event.metaKey ? 'Ctrl+' : '') + event.key];
    if (!name || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const isPointUndone = name === 'undo' && model.get('tool') === 'line' && stroke.length;
    if (name in TOGGLES) toggle(TOGGLES[name]);
    else if (name === 'end line') endLine();
    else if (isPointUndone) { stroke.pop(); draw(); }
    else if (event.repeat && ONCE.includes(name)) return;
    else model.send({command: name});
  });

  // -- mouse and pen

  function position(event) {                  // of the pointer, in pixels of the frame
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * canvas.width / box.width;
    const y = (event.clientY - box.top) * canvas.height / box.height;
    return [x / view.scale + view.x, y / view.scale + view.y];
  }

  function pixel(event) { return position(event).map(Math.floor); }

  canvas.addEventListener('pointerdown', event => {
    root.focus({preventScroll: true});
    canvas.setPointerCapture(event.pointerId);
    const tool = model.get('tool');
    if (event.button || event.shiftKey || !tool) {
      dragging = {x: event.clientX, y: event.clientY, left: view.x, top: view.y, moved: false};
      return;
    }
    if (tool === 'line') stroke.push(pixel(event));
    else stroke = [pixel(event)];
    draw();
  });

  canvas.addEventListener('pointermove', event => {
    if (dragging) {
      const right = event.clientX - dragging.x, down = event.clientY - dragging.y;
      const scale = canvas.width / canvas.getBoundingClientRect().width / view.scale;
      dragging.moved = dragging.moved || Math.hypot(right, down) > 3;
      view.x = dragging.left - right * scale;
      view.y = dragging.top - down * scale;
      draw();
    } else if (stroke.length && event.buttons === 1 && model.get('tool') !== 'line') {
      stroke.push(pixel(event));
      draw();
    }
  });

  canvas.addEventListener('pointerup', event => {
    if (dragging) {
      if (!dragging.moved && !event.button) model.send({click: pixel(event)});
      dragging = null;
    } else if (model.get('tool') !== 'line') sendStroke();
  });

  canvas.addEventListener('dblclick', () => { if (model.get('tool') === 'line') endLine(); });
  canvas.addEventListener('contextmenu', event => event.preventDefault());

  canvas.addEventListener('wheel', event => {
    if (!event.ctrlKey && document.activeElement !== root) return;       // the reader is scrolling past
    event.preventDefault();
    const [x, y] = position(event), factor = Math.exp(-event.deltaY / 400);
    const scale = Math.max(.1, Math.min(40, view.scale * factor)), ratio = view.scale / scale;
    view = {scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio};        // the pointer stays on its pixel
    draw();
  }, {passive: false});

  // -- changes that come from Python or from the widgets around

  function refit() { fit(); draw(); }
  function retone() { if (frame) { tone(); draw(); } }

  model.on('change:picture', load);
  for (const trait of ['opacity', 'visible', 'thickness']) model.on(`change:${trait}`, draw);
  for (const trait of ['zoomed', 'panels']) model.on(`change:${trait}`, refit);
  for (const trait of ['contrast', 'gamma']) model.on(`change:${trait}`, retone);
  model.on('change:contour', () => {
    for (const layer of layers) layer.picture = tinted(layer.mask, layer.color, model.get('contour'));
    draw();
  });
  model.on('change:tool', () => {
    stroke = [];
    root.dataset.tool = model.get('tool');
    refit();
  });
  root.dataset.tool = model.get('tool');
  load();
}

export default {render};
