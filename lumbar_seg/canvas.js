// Shows a frame with its masks and reports keys, strokes and clicks. Masks, undo and files are left to Python: see
// nbs/51_canvas.ipynb to nbs/54_browser.ipynb.

const LINES = ['line', 'curve', 'ridge', 'arc'];          // tools that are told by points, which can be moved until the end
const BRUSHES = ['brush', 'eraser', 'bright', 'network'];       // tools with a size at the pointer
const TEXT_FIELD = 'input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, [contenteditable=true]';
const STAYS = ['undo', 'thinner', 'thicker', 'masks', 'contour', 'panels', 'zoom', 'larger', 'smaller', 'whole',
               'tones', 'help'];                            // commands that leave a line with its points as it is
const PATIENCE = 12;                               // seconds without an answer before Python counts as gone
const TEXT_BELOW = 100;                            // pixels for the text below the picture, however long it is
const STRIP_HEIGHT = 62;                           // of the sweep below the picture: small frames, and marks
const MARKS_HEIGHT = 9;
const DARK = 'rgba(0,0,0,.75)';

function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

let latest = null;                                 // the canvas that had the keys last

async function bitmap(bytes) { return createImageBitmap(new Blob([bytes])); }

function keyName(event) {                          // as in the table of keys: "k", "Ctrl+z", "["
  const isTyped = event.getModifierState('AltGraph');              // a character that needs AltGr, such as [ in German
  if (event.altKey && !isTyped) return '';
  const modified = (event.ctrlKey || event.metaKey) && !isTyped;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;       // whatever CapsLock says
  return (modified ? 'Ctrl+' : '') + (modified && event.shiftKey ? 'Shift+' : '') + key;
}

// ---- pictures

function toned(frame, window, level) {             // gray values of the window, from black to white
  if (window === 256 && level === 128) return frame;
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [frame.width, frame.height];
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(frame, 0, 0);
  const pixels = context.getImageData(0, 0, copy.width, copy.height), data = pixels.data;
  const table = new Uint8ClampedArray(256);
  for (let value = 0; value < 256; value++) table[value] = 255 * ((value - level) / window + .5);
  for (let i = 0; i < data.length; i += 4) {
    for (let channel = i; channel < i + 3; channel++) data[channel] = table[data[channel]];
  }
  context.putImageData(pixels, 0, 0);
  return copy;
}

function outline(edges) {                          // the edges of a mask: left, top, right, bottom of straight pieces
  const numbers = new Int16Array(edges.buffer.slice(edges.byteOffset, edges.byteOffset + edges.byteLength));
  const path = new Path2D();
  for (let i = 0; i < numbers.length; i += 4) {
    path.moveTo(numbers[i], numbers[i + 1]);
    path.lineTo(numbers[i + 2], numbers[i + 3]);
  }
  return path;
}

function roundLength(mm) {                         // the largest of 1, 2, 5, 10, ... that is not longer
  const power = 10 ** Math.floor(Math.log10(mm));
  return [5, 2, 1].find(step => step * power <= mm) * power;
}

// ---- for screen readers: what Jupyter's widgets leave out

function describe(home) {                          // names and states; an icon is no name
  for (const control of home.querySelectorAll('button, select, input, [role=slider]')) {
    control.dataset.lmSuppressShortcuts = 'true';                  // or an arrow in a drop-down leads to the next cell
  }
  for (const icon of home.querySelectorAll('button i')) icon.setAttribute('aria-hidden', 'true');
  for (const button of home.querySelectorAll('button.jupyter-button')) {
    const text = button.textContent.trim();
    button.setAttribute('aria-label', /[a-z]/i.test(text) ? text : button.title);
    const isSwitch = button.classList.contains('widget-toggle-button');
    if (isSwitch) button.setAttribute('aria-pressed', button.classList.contains('mod-active'));
  }
  for (const handle of home.querySelectorAll('[role=slider]')) {
    const label = handle.closest('.widget-slider')?.querySelector('.widget-label');
    if (label) handle.setAttribute('aria-label', label.textContent || label.title);
  }
  for (const field of home.querySelectorAll('input[placeholder]')) {
    if (!field.labels[0]?.textContent) field.setAttribute('aria-label', field.placeholder);
  }
  for (const group of home.querySelectorAll('.widget-toggle-buttons')) {
    group.setAttribute('role', 'group');
    group.setAttribute('aria-label', group.querySelector('.widget-label').title);
  }
}

const SAYS = {                                     // what a switch has done: trait -> when it is off, when it is on
  visible: ['masks hidden', 'masks shown'], contour: ['masks filled', 'outlines only'],
  zoomed: ['the whole frame', 'zoomed to the bone'], panels: ['masks in one picture', 'masks side by side'],
};

// ---- the widget

function render({model, el}) {
  const root = element('div', 'lumbar-canvas');
  root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = 'true';       // no keys of Jupyter's in here, such as C for copying a cell
  root.setAttribute('role', 'application');
  root.setAttribute('aria-label', 'Frame and masks. Press ? for all keys.');
  const canvas = element('canvas', '');
  canvas.setAttribute('role', 'img');
  const badge = element('div', 'lumbar-badge');
  const banner = element('div', 'lumbar-banner');
  banner.setAttribute('role', 'alert');
  banner.hidden = true;
  const said = element('div', 'lumbar-said');      // for screen readers
  said.setAttribute('aria-live', 'polite');
  const strip = element('div', 'lumbar-strip');    // the sweep
  strip.tabIndex = 0;
  strip.setAttribute('role', 'slider');
  strip.setAttribute('aria-label', 'Frame of this sweep');
  const stripCanvas = element('canvas', '');
  strip.append(stripCanvas);
  strip.hidden = true;
  const help = element('div', 'lumbar-help');
  help.setAttribute('role', 'dialog');
  help.setAttribute('aria-label', 'All keys');
  help.hidden = true;
  help.tabIndex = -1;
  const corner = element('div', 'lumbar-corner');
  root.append(canvas, badge, banner, corner, help, said);
  el.append(root, strip);
  const context = canvas.getContext('2d');

  let frame = null, shown = null;                  // the frame as it came, and with window and level applied
  let layers = [];                                 // masks: name, color, picture, edges
  let view = {x: 0, y: 0, scale: 1};               // frame pixel in the top left corner, device pixels per frame pixel
  let fitted = true;                               // does the view follow the room there is?
  let stroke = [];                                 // points of the stroke being drawn, in frame pixels
  let path = [];                                   // how Python joins them
  let isPressed = false;                           // is a brush on the picture?
  let wheeled = 0;                                 // how far the wheel was turned to change the size of the brush
  let dragging = null;                             // what the pointer moves
  let pointer = null;                              // where it is, in frame pixels
  let sizeShown = 0;                               // until when the size of the brush is written beside it
  let isSheet = false, kept = null;                // are thumbnails shown, and the view before them
  let current = 0;                                 // number of the latest picture
  let isPlanned = false;                           // is a drawing planned for the next paint?
  let isToned = false;                             // does `shown` have the window and level of now?
  const touches = new Map();                       // fingers on the picture

  let inHand = model.get('tool');                  // a trait set here would be sent to Python with the next switch
  const tool = () => inHand;
  const say = text => { said.textContent = text; };
  const sayTool = () => { if (tool()) say(`${tool()}, ${model.get('thickness_text')}`); };
  const ratio = () => window.devicePixelRatio || 1;
  const home = () => root.closest('.lumbar-browser') || root;

  // -- the room on the screen

  function room() {                                // width and height for the picture, in CSS pixels
    const viewport = root.closest('.jp-WindowedPanel-outer, .jp-Notebook');
    const height = Math.min(viewport ? viewport.clientHeight : innerHeight, innerHeight);
    const body = root.closest('.lumbar-body') || root;
    const above = body.getBoundingClientRect().top - home().getBoundingClientRect().top;
    const below = TEXT_BELOW + (strip.hidden ? 0 : STRIP_HEIGHT + 4);
    return [Math.max(300, el.clientWidth), Math.max(300, height - above - below)];
  }

  function resize() {
    const [width, height] = room().map(side => Math.floor(side * ratio()));
    drawStrip();
    if (width === canvas.width && height === canvas.height) return;
    const middle = [view.x + canvas.width / 2 / view.scale, view.y + canvas.height / 2 / view.scale];
    [canvas.width, canvas.height] = [width, height];
    canvas.style.width = `${width / ratio()}px`;
    canvas.style.height = `${height / ratio()}px`;
    if (fitted) fit();
    else Object.assign(view, {x: middle[0] - width / 2 / view.scale, y: middle[1] - height / 2 / view.scale});
    paint();
  }

  function countPanels() { return model.get('panels') && !tool() && layers.length > 1 ? layers.length : 1; }

  function fit() {                                 // the whole frame, or the box around the bone
    if (!frame) return;
    const [left, top, right, bottom] = (model.get('zoomed') && model.get('picture').box)
      || [0, 0, frame.width, frame.height];
    const width = canvas.width / countPanels();
    const scale = Math.min(width / (right - left), canvas.height / (bottom - top));
    view = {scale, x: (left + right) / 2 - width / 2 / scale, y: (top + bottom) / 2 - canvas.height / 2 / scale};
    fitted = true;
  }

  function sayScale() { say(`zoom ${Math.round(view.scale / ratio() * 100)} %`); }

  function showWhole() {
    model.set('zoomed', false);
    model.save_changes();
    fit();
    draw();
  }

  function zoom(factor, [x, y] = [view.x + canvas.width / 2 / view.scale, view.y + canvas.height / 2 / view.scale]) {
    const scale = Math.max(.1, Math.min(60, view.scale * factor)), shrunk = view.scale / scale;
    view = {scale, x: x - (x - view.x) * shrunk, y: y - (y - view.y) * shrunk};        // this pixel stays in place
    fitted = false;
    draw();
  }

  // -- show

  function draw() {                                // once before the next paint, however often it is asked for
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(paint);
  }

  function toFrame(left = 0) {                     // from now on, draw in pixels of the frame
    context.setTransform(view.scale, 0, 0, view.scale, left - view.x * view.scale, -view.y * view.scale);
  }

  function toScreen() { context.setTransform(1, 0, 0, 1, 0, 0); }

  function paint() {
    isPlanned = false;
    toScreen();
    context.fillStyle = '#000';
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!frame) return;
    if (!isToned) [shown, isToned] = [toned(frame, model.get('window'), model.get('level')), true];
    root.dataset.paints = Number(root.dataset.paints || 0) + 1;
    root.dataset.scale = view.scale;
    const count = countPanels(), width = canvas.width / count;
    if (count === 1) drawPanel(layers, 0, width);
    else layers.forEach((layer, panel) => drawPanel([layer], panel * width, width - 2));
    drawTiles();
    drawRuler();
    drawStroke();
    drawPointer();
  }

  function drawPanel(ownLayers, left, width) {
    context.save();
    context.beginPath();
    context.rect(left, 0, width, canvas.height);
    context.clip();
    toFrame(left);
    context.imageSmoothingEnabled = view.scale < 3;
    context.drawImage(shown, 0, 0);
    if (model.get('visible')) ownLayers.forEach((layer, k) => drawMask(layer, k === 0 && !model.get('contour')));
    toScreen();
    ownLayers.forEach((layer, row) => write(layer.label, left + 8 * ratio(), (20 + 18 * row) * ratio(), layer.color));
    context.restore();
  }

  function drawMask(layer, filled) {               // only the first is filled: two fills would mix to a third color
    context.imageSmoothingEnabled = false;
    context.globalAlpha = model.get('opacity');
    if (filled) context.drawImage(layer.picture, 0, 0);
    context.globalAlpha = 1;
    drawLine(layer.edges, `rgb(${layer.color.join(',')})`, 2);
  }

  function drawLine(line, color, width) {          // with a dark edge, so that it is seen on bright bone and on black
    context.lineCap = context.lineJoin = 'round';
    for (const [ink, extra] of [[DARK, 2], [color, 0]]) {
      context.strokeStyle = ink;
      context.lineWidth = (width + extra) * ratio() / view.scale;
      context.stroke(line);
    }
  }

  function write(text, x, y, color = [255, 255, 255]) {
    context.font = `${13 * ratio()}px sans-serif`;
    context.lineWidth = 3 * ratio();
    context.strokeStyle = DARK;
    context.strokeText(text, x, y);
    context.fillStyle = `rgb(${color.join(',')})`;
    context.fillText(text, x, y);
  }

  function screenLine(points) {                    // a thin white line with a dark edge, in device pixels
    for (const [ink, width] of [[DARK, 3], ['#fff', 1.2]]) {
      context.strokeStyle = ink;
      context.lineWidth = width * ratio();
      context.beginPath();
      points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
    }
  }

  function drawRuler() {                           // depth on the right, a scale bar at the bottom left
    const mm = model.get('picture').pixel_mm, unit = ratio();
    if (countPanels() > 1 || model.get('picture').tiles.length) return;
    const [tall, wide] = mm || [1, 1];
    const length = roundLength(120 * unit / view.scale * wide), onScreen = length / wide * view.scale;
    const [x, y] = [16 * unit, canvas.height - 16 * unit];
    screenLine([[x, y - 5 * unit], [x, y], [x + onScreen, y], [x + onScreen, y - 5 * unit]]);
    write(`${length} ${mm ? 'mm' : 'px'}`, x + 4 * unit, y - 8 * unit);
    if (!mm) return;
    const right = Math.min(canvas.width, (frame.width - view.x) * view.scale) - 2 * unit;
    const step = Math.max(1, roundLength(90 * unit / view.scale * tall));
    for (let depth = step; depth < frame.height * tall; depth += step) {
      const at = (depth / tall - view.y) * view.scale;
      if (at < 40 * unit || at > canvas.height - 30 * unit) continue;
      screenLine([[right - 8 * unit, at], [right, at]]);
      write(`${depth} mm`, right - 58 * unit, at + 4 * unit);
    }
  }

  function drawTiles() {                           // names and states of thumbnails, and which one is marked
    const unit = ratio();
    for (const tile of model.get('picture').tiles) {
      const [x, y] = [(tile.x - view.x) * view.scale, (tile.y - view.y) * view.scale];
      const [wide, tall] = [tile.width * view.scale, tile.height * view.scale];
      const edge = (tile.marked ? 4 : 1) * unit;
      context.lineWidth = edge;
      context.strokeStyle = tile.marked ? '#f0e442' : '#444';
      context.strokeRect(x + edge / 2, y + edge / 2, wide - edge, tall - edge);
      context.fillStyle = tile.color;
      context.fillRect(x + 4 * unit, y + tall - 10 * unit, wide - 8 * unit, 6 * unit);
      write(tile.name, x + 6 * unit, y + 18 * unit);
      write(tile.state, x + 6 * unit, y + tall - 16 * unit);
    }
  }

  function drawStroke() {                          // the stroke under the pointer; Python turns it into a mask
    if (!stroke.length) return;
    const points = path.length ? path : stroke, isLine = LINES.includes(tool());
    context.save();
    toFrame();
    context.strokeStyle = tool() === 'eraser' ? 'rgba(120,120,120,.8)' : 'rgba(240,228,66,.6)';
    context.lineWidth = (model.get('thickness')[0] + model.get('thickness')[1]) / 2;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    points.forEach(([x, y], k) => (k ? context.lineTo(x + .5, y + .5) : context.moveTo(x + .5, y + .5)));
    if (points.length === 1) context.lineTo(points[0][0] + .51, points[0][1] + .5);
    context.stroke();
    context.restore();
    if (isLine) for (const point of stroke) drawHandle(point);
  }

  function onCanvas([x, y]) { return [(x + .5 - view.x) * view.scale, (y + .5 - view.y) * view.scale]; }

  function drawHandle(point) {
    const [x, y] = onCanvas(point);
    context.beginPath();
    context.arc(x, y, 5 * ratio(), 0, 7);
    context.fillStyle = '#fff';
    context.fill();
    context.lineWidth = 2 * ratio();
    context.strokeStyle = '#000';
    context.stroke();
  }

  function drawPointer() {                         // the size of the brush where the pointer is
    if (!pointer || dragging || !BRUSHES.includes(tool())) return;
    const [x, y] = onCanvas(pointer.map(value => value - .5)), size = model.get('thickness');
    const [wide, tall] = size.map(side => Math.max(.5, side / 2) * view.scale);
    for (const [ink, width] of [[DARK, 3], [tool() === 'eraser' ? '#ff9f80' : '#fff', 1.5]]) {
      context.beginPath();
      context.ellipse(x, y, wide, tall, 0, 0, 7);
      context.strokeStyle = ink;
      context.lineWidth = width * ratio();
      context.stroke();
    }
    if (performance.now() < sizeShown) write(model.get('thickness_text'), x + wide + 6 * ratio(), y);
  }

  function showSize() {
    sayTool();
    if (!pointer || !BRUSHES.includes(tool())) return;
    sizeShown = performance.now() + 1500;
    setTimeout(draw, 1550);
    draw();
  }

  async function load() {
    const picture = model.get('picture');
    current += 1;
    const mine = current;
    if (!picture.frame) return;
    const encoded = [picture.frame, ...picture.layers.map(layer => layer.png)];
    const [newFrame, ...masks] = await Promise.all(encoded.map(bitmap));
    if (mine !== current) return;                  // a newer picture came while this one was being decoded
    const isNew = root.dataset.frame !== picture.name;
    const isOther = !frame || frame.width !== newFrame.width || frame.height !== newFrame.height;
    if (picture.tiles.length && !isSheet) kept = {view, fitted, frame};
    isSheet = picture.tiles.length > 0;
    frame = newFrame;
    layers = picture.layers.map((layer, k) => ({...layer, picture: masks[k], edges: outline(layer.edges)}));
    isToned = false;
    if (isNew || (!LINES.includes(tool()) && !isPressed)) dropStroke();
    const isBack = !isSheet && kept?.frame?.width === frame.width && kept.frame.height === frame.height;
    if (isOther && isBack) ({view, fitted} = kept);                  // as it was before the thumbnails
    else if (isOther || (isNew && model.get('zoomed'))) fit();
    if (!isSheet) kept = null;
    [badge.textContent, badge.style.background] = [picture.state, picture.state_color];
    badge.hidden = !picture.state;
    canvas.setAttribute('aria-label', `${picture.name}, ${picture.state}`);
    resize();
    draw();
    if (document.activeElement === home()) takeFocus();
    root.dataset.frame = picture.name;
    root.dataset.version = picture.version;
    requestAnimationFrame(() => model.send({shown: picture.version}));           // it is painted now
  }

  // -- lines

  function dropStroke() { stroke = []; path = []; }

  function changeLine() {                          // its points have changed: ask Python how to join them
    path = [];
    if (tool() !== 'line' && stroke.length > 1) model.send({points: stroke, tool: tool()});
    draw();
  }

  function endStroke() {                           // what has been begun is not lost
    if (isPressed && !LINES.includes(tool())) {
      isPressed = false;
      if (stroke.length) model.send({stroke, tool: tool()});
    } else if (LINES.includes(tool())) endLine(false);
  }

  function endLine(isAsked) {                      // a single point is a line only if it is asked for
    if (!stroke.length) return;
    if (LINES.includes(tool()) && stroke.length > (isAsked ? 0 : 1)) model.send({stroke, tool: tool()});
    dropStroke();
    draw();
  }

  function undoPoint() {
    if (!LINES.includes(tool()) || !stroke.length) return false;
    stroke.pop();
    changeLine();
    return true;
  }

  // -- the sweep

  let sweep = null;                                // its small frames, side by side
  let mark = 0;                                    // of the frame that is shown, or that the pointer asks for
  let isScrubbing = false;

  async function loadStrip() {
    const jpeg = model.get('strip');
    const isShown = jpeg.byteLength > 0;
    sweep = isShown ? await bitmap(jpeg) : null;
    if (jpeg !== model.get('strip')) return;       // another one came meanwhile
    const wasHidden = strip.hidden;
    strip.hidden = !isShown;
    if (wasHidden === isShown) resize();
    drawStrip();
  }

  function followPlace() {                         // unless the pointer is ahead of Python
    const [shownPlace, count] = model.get('strip_place');
    if (!isScrubbing) mark = shownPlace;
    strip.setAttribute('aria-valuemin', 1);
    strip.setAttribute('aria-valuemax', count);
    strip.setAttribute('aria-valuenow', shownPlace + 1);
    strip.setAttribute('aria-valuetext', `${shownPlace + 1} of ${count}, ${model.get('picture').name}`);
    strip.dataset.place = shownPlace;
    drawStrip();
  }

  function drawStrip() {
    if (!sweep) return;
    const [all, height] = [room()[0], STRIP_HEIGHT].map(side => Math.floor(side * ratio()));
    const [, count] = model.get('strip_place'), colors = model.get('strip_colors');
    const pictures = model.get('strip_pictures'), own = sweep.width / pictures;
    const marks = MARKS_HEIGHT * ratio(), tall = height - marks;
    const width = count > pictures ? all : Math.min(all, Math.floor(sweep.width * tall / sweep.height));
    [stripCanvas.width, stripCanvas.height] = [width, height];
    [stripCanvas.style.width, stripCanvas.style.height] = [`${width / ratio()}px`, `${height / ratio()}px`];
    const ink = stripCanvas.getContext('2d');
    const shrunk = Math.max(width / pictures / own, tall / sweep.height);              // the middle of each small frame
    const [across, down] = [width / pictures / shrunk, tall / shrunk];
    for (let k = 0; k < pictures; k++) {
      const [left, top] = [k * own + (own - across) / 2, (sweep.height - down) / 2];
      ink.drawImage(sweep, left, top, across, down, k * width / pictures, 0, width / pictures, tall);
    }
    ink.fillStyle = '#000';
    ink.fillRect(0, tall, width, marks);
    colors.forEach((color, k) => {
      ink.fillStyle = color;
      const [left, right] = [k, k + 1].map(at => Math.round(at / colors.length * width));
      ink.fillRect(left, tall + 2 * ratio(), Math.max(1, right - left - (right - left > 3 ? 1 : 0)), marks);
    });
    const x = (mark + .5) / count * width, half = Math.max(3 * ratio(), width / count / 2);
    for (const [color, line] of [['#000', 4], ['#f0e442', 2]]) {
      ink.strokeStyle = color;
      ink.lineWidth = line * ratio();
      ink.strokeRect(x - half, ratio(), 2 * half, height - 2 * ratio());
    }
  }

  function scrub(event) {                          // Python hears of the latest place once it has shown the one before
    const box = stripCanvas.getBoundingClientRect(), [, count] = model.get('strip_place');
    const wanted = Math.max(0, Math.min(count - 1, Math.floor((event.clientX - box.left) / box.width * count)));
    if (wanted === mark) return;
    mark = wanted;
    drawStrip();
    askForPlace();
  }

  let askedPlace = null;                           // what Python was asked for and has not shown yet

  function askForPlace() {
    if (askedPlace !== null || mark === model.get('strip_place')[0]) return;
    askedPlace = mark;
    model.send({scrub: mark});
    setTimeout(() => { askedPlace = null; }, 1000);                  // an answer that never came
  }

  function placeShown() {
    askedPlace = null;
    if (isScrubbing) askForPlace();
    followPlace();
  }

  stripCanvas.addEventListener('pointerdown', event => {
    if (event.button) return;
    endStroke();
    stripCanvas.setPointerCapture(event.pointerId);
    isScrubbing = true;
    scrub(event);
  });
  stripCanvas.addEventListener('pointermove', event => { if (isScrubbing) scrub(event); });
  for (const name of ['pointerup', 'pointercancel']) {
    stripCanvas.addEventListener(name, () => {
      isScrubbing = false;
      askForPlace();
      setTimeout(takeFocus);
    });
  }

  // -- keys, and the buttons around the picture

  let isByKeys = false;                            // is a drop-down being changed by keys?
  const keys = {};
  for (const key of model.get('key_table')) for (const name of key.names) keys[name] = key;

  function takeFocus() {
    latest = root;
    root.focus({preventScroll: true});
    if (document.activeElement === root) return;
    home().tabIndex = -1;                          // there is no picture now, but no button may keep the keys
    home().focus({preventScroll: true});
  }

  function toggle(trait) {
    model.set(trait, !model.get(trait));
    model.save_changes();
  }

  function run(command, trait) {
    if (command !== 'end line' && !STAYS.includes(command)) endStroke();
    if (command === 'undo' && isPressed) endStroke();
    const here = {
      'end line': () => endLine(true), help: () => showHelp(help.hidden), larger: () => zoom(1.25),
      smaller: () => zoom(.8), whole: () => showWhole(), tones: () => setTones(256, 128),
    };
    if (command === 'end line' && model.get('picture').tiles?.length) command = 'open';
    if (command === 'undo' && undoPoint()) return;
    const isTool = [...LINES, ...BRUSHES, 'piece'].includes(command);
    if (tool() && isTool) take(command);           // Python says the same a moment later
    if (trait) toggle(trait);
    else if (here[command]) {
      here[command]();
      if (['larger', 'smaller', 'whole'].includes(command)) sayScale();
    }
    else if (!banner.hidden) flash();
    else model.send({command});
  }

  function onKey(event) {
    const target = event.target;
    const isFree = target === document.body && latest === root && root.checkVisibility();      // nothing has the focus
    const isOurs = home().contains(target) || isFree;
    if (!isOurs || !root.isConnected) return;
    isByKeys = true;
    if (target.matches(TEXT_FIELD)) {
      if (['Enter', 'Escape'].includes(event.key)) setTimeout(takeFocus);
      return;
    }
    if (target.matches('select') && event.key === 'Escape') setTimeout(takeFocus);
    const isWidget = target !== strip && target.matches('select, [role=slider]');
    if (isWidget && /^(Arrow|Home|End|Page|Enter| )/.test(event.key)) {
      if (target.closest('.lumbar-top')) endStroke();
      return;
    }
    const isLetter = event.key.length === 1 && !event.ctrlKey && !event.metaKey;
    if (target.matches('select') && isLetter) return;                // it finds the entry that begins so
    if (target.closest('button') && ['Enter', ' ', 'Tab'].includes(event.key)) return;          // it presses the button
    const key = keys[keyName(event)];
    if (!help.hidden && /^(Arrow|Page)/.test(event.key)) help.scrollBy(0, /Up|Left/.test(event.key) ? -80 : 80);
    else if (!help.hidden) showHelp(false);        // nobody sees what a key would do
    else if (!key) return;
    else if (!(event.repeat && key.once)) run(key.command, key.trait);
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function onButton(event) {                       // before the button itself hears of it
    const button = event.target.closest('button');
    if (!button || !home().contains(button)) return;
    if (button.classList.contains('lumbar-undo') && undoPoint()) event.stopPropagation();
    else if (!button.closest('.lumbar-stays')) endStroke();
    setTimeout(takeFocus);                         // the picture has the keys, so no key repeats the button
  }

  function onChosen(event) {
    if (event.target.closest?.('.lumbar-top') && home().contains(event.target)) endStroke();
    if (event.target.matches('select') && home().contains(event.target) && !isByKeys) setTimeout(takeFocus);
  }

  function onRelease(event) {
    if (event.target.closest?.('.noUi-target') && home().contains(event.target)) setTimeout(takeFocus);
  }

  function onPress(event) {                        // on what leads to another frame
    isByKeys = false;
    if (event.target.closest?.('.lumbar-top') && home().contains(event.target)) endStroke();
  }

  const heard = [['keydown', onKey], ['click', onButton], ['change', onChosen], ['pointerup', onRelease],
                 ['pointerdown', onPress]];
  for (const [name, listener] of heard) document.addEventListener(name, listener, true);

  const corners = [['−', 'smaller', 'Zoom out (-)'], ['+', 'larger', 'Zoom in (+)'],
                   ['⤢', 'whole', 'The whole frame (0)'], ['?', 'help', 'All keys (?)']];
  for (const [text, command, tip] of corners) {
    const button = element('button', 'lumbar-stays', text);
    button.type = 'button';
    button.title = tip;
    button.setAttribute('aria-label', tip);
    button.addEventListener('click', () => run(command));
    const holder = element('span', 'lumbar-stays');
    holder.append(button);
    corner.append(holder);
  }

  function showHelp(on) {
    help.hidden = !on;
    if (!on) return takeFocus();
    help.replaceChildren();
    const groups = [...new Set(model.get('key_table').map(key => key.group))];
    for (const group of groups) {
      const table = element('table', '');
      table.append(element('caption', '', group));
      for (const key of model.get('key_table').filter(one => one.group === group)) {
        const row = element('tr', '');
        row.append(element('th', '', key.label), element('td', '', key.words));
        table.append(row);
      }
      help.append(table);
    }
    help.focus({preventScroll: true});
  }
  help.addEventListener('click', () => showHelp(false));

  // -- is Python there?

  let answered = performance.now(), asked = 0;
  const onVisible = () => { answered = performance.now(); };       // a page in the background is not woken often

  function ping() {
    if (document.hidden || !root.isConnected) return;
    const silent = (performance.now() - answered) / 1000;
    if (silent > PATIENCE) {
      banner.textContent = 'Python does not answer: it is busy, or has stopped. What you decided and drew up to here '
        + 'is on the disk; what you do now is not. If this stays, restart: run the cell again, or reload the app.';
      banner.hidden = false;
    }
    if (asked > answered && performance.now() - asked < 30000) return;           // it has been asked
    asked = performance.now();
    try { model.send({ping: Date.now()}); } catch { /* a dead kernel; the banner says so in time */ }
  }

  function flash() {
    banner.classList.remove('lumbar-flash');
    void banner.offsetWidth;                       // so that the animation starts again
    banner.classList.add('lumbar-flash');
  }

  const pulse = setInterval(ping, 3000);
  document.addEventListener('visibilitychange', onVisible);
  model.on('msg:custom', message => {
    if ('pong' in message) {
      answered = performance.now();
      banner.hidden = true;
    } else if ('path' in message && message.points === stroke.length) {
      path = message.path;
      draw();
    }
  });

  // -- mouse, pen and fingers

  function position(event) {                       // of the pointer, in pixels of the frame
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * canvas.width / box.width;
    const y = (event.clientY - box.top) * canvas.height / box.height;
    return [x / view.scale + view.x, y / view.scale + view.y];
  }

  function pixel(event) { return position(event).map(Math.floor); }

  function place(event) {                          // the same, where 0 is the middle of the first pixel
    return position(event).map(value => Math.round((value - .5) * 100) / 100);
  }

  function handleAt(event) {                       // number of the point of a line under the pointer; -1: none
    const box = canvas.getBoundingClientRect(), grown = canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * grown, (event.clientY - box.top) * grown];
    const reach = (event.pointerType === 'touch' ? 20 : 9) * ratio();
    return stroke.findIndex(point => {
      const [left, top] = onCanvas(point);
      return Math.hypot(left - x, top - y) < reach;
    });
  }

  function beginDrag(event, kind) {
    dragging = {kind, x: event.clientX, y: event.clientY, left: view.x, top: view.y, moved: false,
                window: model.get('window'), level: model.get('level')};
  }

  function beginLinePoint(event) {
    const handle = handleAt(event);
    dragging = {kind: 'point', at: handle};
    if (handle >= 0) return;
    stroke.push(place(event));
    Object.assign(dragging, {at: stroke.length - 1, isNew: true});
    changeLine();
  }

  function onDown(event) {
    takeFocus();
    canvas.setPointerCapture(event.pointerId);
    if (event.pointerType === 'touch') touches.set(event.pointerId, event);
    if (touches.size > 1) return beginPinch();
    pointer = position(event);
    if (event.button === 2) return beginDrag(event, 'tones');
    if (event.button || event.shiftKey || !tool()) return beginDrag(event, 'view');
    if (LINES.includes(tool())) return beginLinePoint(event);
    isPressed = true;
    stroke = [place(event)];
    draw();
  }

  function fingers() {                             // how far two are apart, and the place between them
    const [one, other] = touches.values();
    const middle = {clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2};
    return [Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY), position(middle)];
  }

  function beginPinch() {
    if (dragging?.kind === 'point' && dragging.isNew) undoPoint();             // the first finger was not meant to draw
    isPressed = false;
    if (!LINES.includes(tool())) dropStroke();
    const [apart, middle] = fingers();
    dragging = {kind: 'pinch', apart, middle};
  }

  function pinch() {                               // zooms, and moves the picture with the fingers
    const [apart, [x, y]] = fingers();
    [view.x, view.y] = [view.x + dragging.middle[0] - x, view.y + dragging.middle[1] - y];
    zoom(apart / dragging.apart, dragging.middle);
    dragging.apart = apart;
  }

  function onMove(event) {
    pointer = position(event);
    if (touches.has(event.pointerId)) touches.set(event.pointerId, event);
    const right = dragging ? event.clientX - dragging.x : 0, down = dragging ? event.clientY - dragging.y : 0;
    if (dragging?.kind === 'pinch') pinch();
    else if (dragging?.kind === 'view') {
      const scale = ratio() / view.scale;
      dragging.moved = dragging.moved || Math.hypot(right, down) > 3;
      if (!dragging.moved) return;
      fitted = false;
      [view.x, view.y] = [dragging.left - right * scale, dragging.top - down * scale];
    } else if (dragging?.kind === 'tones') setTones(dragging.window + right, dragging.level - down / 2, false);
    else if (dragging?.kind === 'point') {
      stroke[dragging.at] = place(event);
      path = [];
      dragging.moved = true;
    } else if (isPressed && event.buttons === 1) {
      for (const one of event.getCoalescedEvents?.() || [event]) stroke.push(place(one));
    } else if (!BRUSHES.includes(tool())) return;
    draw();
  }

  function onUp(event) {
    touches.delete(event.pointerId);
    const ended = dragging;
    dragging = null;
    if (ended?.kind === 'view' && !ended.moved && !event.button) model.send({click: pixel(event)});
    else if (ended?.kind === 'tones') model.save_changes();
    else if (ended?.kind === 'point' && ended.moved) changeLine();
    else if (isPressed) endStroke();
    draw();
  }

  function setTones(width, middle, save = true) {
    model.set('window', Math.max(8, Math.min(512, width)));
    model.set('level', Math.max(0, Math.min(255, middle)));
    if (save) model.save_changes();
  }

  canvas.addEventListener('pointerdown', onDown);
  canvas.addEventListener('pointermove', onMove);
  canvas.addEventListener('pointerup', onUp);
  canvas.addEventListener('pointercancel', event => {
    touches.delete(event.pointerId);
    dragging = null;
    endStroke();
    draw();
  });
  canvas.addEventListener('pointerleave', () => { pointer = null; draw(); });
  canvas.addEventListener('dblclick', () => {
    if (!LINES.includes(tool())) return;
    endLine(true);
  });
  canvas.addEventListener('contextmenu', event => event.preventDefault());

  canvas.addEventListener('wheel', event => {
    if (!event.ctrlKey && !home().contains(document.activeElement)) return;             // the reader is scrolling past
    event.preventDefault();
    const turned = event.deltaY || event.deltaX;   // with Shift some systems turn the wheel sideways
    if (event.shiftKey && BRUSHES.includes(tool())) {
      wheeled += event.deltaMode ? 100 * Math.sign(turned) : turned;           // a trackpad sends many small turns
      if (Math.abs(wheeled) < 60) return;
      model.send({command: wheeled < 0 ? 'thicker' : 'thinner'});
      wheeled = 0;
    }
    else zoom(Math.exp(-turned / 400), position(event));
  }, {passive: false});

  // -- changes that come from Python or from the widgets around

  model.on('change:picture', load);
  for (const trait of ['opacity', 'visible', 'contour']) model.on(`change:${trait}`, draw);
  for (const trait of ['zoomed', 'panels']) model.on(`change:${trait}`, () => { fit(); draw(); });
  for (const trait in SAYS) model.on(`change:${trait}`, () => say(SAYS[trait][Number(model.get(trait))]));
  for (const trait of ['window', 'level']) {
    model.on(`change:${trait}`, () => {
      isToned = false;
      draw();
    });
  }
  model.on('change:strip', loadStrip);
  model.on('change:strip_place', placeShown);
  model.on('change:strip_colors', drawStrip);
  model.on('change:thickness', showSize);
  model.on('change:said', () => say(model.get('said')));
  function take(other) {
    inHand = other;
    dropStroke();
    root.dataset.tool = tool();
    sayTool();
    if (model.get('panels')) fit();
    draw();
  }
  model.on('change:tool', () => { if (model.get('tool') !== tool()) take(model.get('tool')); });
  root.dataset.tool = tool();

  const watcher = new ResizeObserver(resize);
  watcher.observe(el);
  window.addEventListener('resize', resize);
  load();
  loadStrip();
  followPlace();
  const isTyping = () => document.activeElement?.matches(TEXT_FIELD) || document.activeElement?.closest('.cm-editor');
  const describing = new MutationObserver(() => describe(home()));
  function begin() {                               // keys work at once, and everything is in view
    describe(home());
    describing.observe(home(), {subtree: true, childList: true, attributes: true, attributeFilter: ['class', 'title']});
    const isElsewhere = document.activeElement !== root && home().contains(document.activeElement);
    if (isTyping() || isElsewhere || !root.isConnected) return;
    takeFocus();
    home().scrollIntoView({block: 'nearest'});
  }
  for (const delay of [0, 400]) setTimeout(begin, delay);

  return () => {
    clearInterval(pulse);
    watcher.disconnect();
    describing.disconnect();
    window.removeEventListener('resize', resize);
    document.removeEventListener('visibilitychange', onVisible);
    for (const [name, listener] of heard) document.removeEventListener(name, listener, true);
    if (latest === root) latest = null;
  };
}

export default {render};
