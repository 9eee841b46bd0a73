// A JupyterLab extension, built by hand: no build step. See nbs/55_apps.ipynb.
// When a notebook has been opened, it runs the cell in which lumbar_seg shows its mask browser, and no other cell.

(() => {
  const NAME = 'lumbar-seg';
  const WIDGET = 'application/vnd.jupyter.widget-view+json';
  const STRING = String.raw`(?:'(?:[^'\\\n\r]|\\.)*'|"(?:[^"\\\n\r]|\\.)*")`;      // as Python's repr writes it
  const CALL = new RegExp(
    String.raw`^(?:#[^\n\r]*\n)?from pathlib import Path\n\nfrom lumbar_seg\.browser import MaskBrowser\n\n` +
    String.raw`MaskBrowser\(Path\.cwd\(\), ${STRING}, ${STRING}\)$`);
  let libraries;                                   // what JupyterLab shares: name -> version -> where to get it

  async function library(name) {
    const version = Object.values(libraries[name])[0];
    return (await version.get())();
  }

  // After a reload the kernel still has the browser, and JupyterLab shows it again: running the cell would make another.
  async function isShown(cell, kernel) {
    const reply = await kernel.requestCommInfo({target_name: 'jupyter.widget'});
    const models = cell.model.outputs.toJSON().map(output => output.data?.[WIDGET]?.model_id);
    return models.some(model => model in reply.content.comms);
  }

  async function show(panel, NotebookActions) {
    const {content, context, sessionContext} = panel;
    await Promise.all([context.ready, sessionContext.ready]);
    const kernel = sessionContext.session?.kernel;
    const index = content.widgets.findIndex(cell => cell.model.type === 'code' && CALL.test(cell.model.sharedModel.source));
    if (!kernel || index < 0) return;
    await kernel.info;
    if (await isShown(content.widgets[index], kernel)) return;
    content.deselectAll();
    content.activeCellIndex = index;
    await NotebookActions.run(content, sessionContext);
    if (context.contentsModel?.writable) await context.save();    // so that closing the page asks no question
  }

  async function makeExtension() {
    const {INotebookTracker, NotebookActions} = await library('@jupyterlab/notebook');
    const plugin = {
      id: `${NAME}:show`, description: 'Shows the mask browser of lumbar_seg.', autoStart: true,
      requires: [INotebookTracker],
      activate: (app, tracker) => {
        tracker.widgetAdded.connect((_, panel) => show(panel, NotebookActions).catch(console.error));
      },
    };
    return () => ({__esModule: true, default: plugin});
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {init: shared => { libraries = shared; }, get: makeExtension};
})();
