"""Run one notebook, and compare what its cells print with the outputs stored in it.

    pages.py NOTEBOOK              run it
    pages.py NOTEBOOK --compare    and fail if a cell prints something else than is stored
    pages.py NOTEBOOK --store      and keep the outputs

It runs a notebook the way `nbdev_test` does, in this process and without a Jupyter kernel. Numbers are compared to the
last digit printed. What changes from run to run or from machine to machine is masked: paths, dates, times, versions and
hashes. A cell that says `#| varies: training` shows figures of a trained network. On the kind of machine that the page
was stored on, they may differ by TRAINING_TOLERANCE, which is what threads make. On another kind, a short training ends
elsewhere, and the cell is not compared. Of a cell that says `#| varies: machine` only the words are compared.
"""
import io
import json
import os
import platform
import re
import sys
from contextlib import redirect_stderr
from pathlib import Path

TRAINING_TOLERANCE = .1          # of scores and losses
MASKS = [                        # what is replaced before two texts are compared; the order matters
    (r'\x1b\[[0-9;]*m', ''),
    (r'(?<![\w.])(?:/|[A-Z]:\\)[\w.~+-]+(?:[/\\][^\s\'",:;()<>]*)?', '<path>'),
    (r'\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?|\b\d{8}-\d{6}(?:-\d+)?\b', '<date>'),
    (r'\b\d+:\d\d:\d\d\b', '<time>'),
    (r'\b0x[0-9a-f]+\b', '<address>'),
    (r'\b(?=[0-9a-f]*\d)[0-9a-f]{8,64}(?:-changed)?\b', '<hash>'),
    (r'\b\d+\.\d+\.\d+(?:[.+]\w+)*\b', '<version>'),
    (r'\b\d+(?:[.,]\d+)*\s*(?:s|ms|min|seconds|MB|GB|frames/s)\b', '<time>'),
    (r'[-─]{3,}', '---'),
    (r'[ \t]+', ' '),
]
NUMBER = re.compile(r'(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?')
VARIES = re.compile(r'^#\| varies: (training|machine)', flags=re.M)
MACHINE_KEY = 'stored_on'                    # in the notebook's metadata, where a cell varies
SAYINGS = ('skipped:', 'measured:')          # lines for the test log, which depend on what the machine has


def machine():
    "The kind of machine that decides how a training ends."
    import torch
    cpu = Path('/proc/cpuinfo')
    model = re.search(r'model name\s*:\s*(.*)', cpu.read_text()) if cpu.exists() else None
    name = model[1] if model else platform.processor()
    return f'{name}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}'


def run(path):
    "The notebook with the outputs its cells give now, and the error of a cell that failed, or None."
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    from nbdev.process import NBProcessor
    settings = get_config()
    skip_flags = set(settings.tst_flags.split())
    os.environ['IN_TEST'] = '1'
    sys.path.insert(0, str(settings.config_path))
    notebook = NBProcessor(path, process=True).nb

    def is_skipped(cell):
        directives = getattr(cell, 'directives_', None) or {}
        no_eval = directives.get('eval:', [''])[0].lower() == 'false'
        return cell.cell_type != 'code' or no_eval or bool(skip_flags & directives.keys())
    for cell in notebook.cells:
        if not is_skipped(cell): cell['outputs'] = []          # what prints nothing now keeps no old output
    shell = CaptureShell(path)
    os.chdir(path.parent)
    try: shell.run_all(notebook, exc_stop=True, preproc=is_skipped)
    except BaseException as error:
        said = io.StringIO()
        with redirect_stderr(said): print(shell.prettytb(fname=path), file=sys.stderr)
        return notebook, said.getvalue() or repr(error)
    return notebook, None


def printed(outputs):
    "What a cell prints and shows, as lines of text; pictures are left out."
    text = ''
    for output in outputs:
        if output['output_type'] == 'stream' and output['name'] == 'stdout': text += ''.join(output['text'])
        elif 'data' in output: text += ''.join(output['data'].get('text/plain', '')) + '\n'
    for pattern, mask in MASKS: text = re.sub(pattern, mask, text)
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(SAYINGS) and '━' not in line]      # a progress bar


def close(stored, now, training):
    "Are two printed numbers the same, but for rounding, or for the tolerance of training?"
    if stored == now: return True
    if '.' not in stored + now: return training           # counts that follow from a training may differ
    digits = min(len(number.partition('.')[2]) for number in (stored, now) if '.' in number)
    tolerance = TRAINING_TOLERANCE*max(1, abs(float(stored))) if training else 1.5*10**-digits
    return abs(float(stored) - float(now)) <= tolerance


def same_line(stored, now, varies):
    "Do two lines say the same?"
    if NUMBER.sub('<n>', stored) != NUMBER.sub('<n>', now): return False
    if varies == 'machine': return True
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(now), strict=True)
    return all(close(a, b, varies == 'training') for a, b in pairs)


def difference(stored, now, varies):
    "The first line that differs between two outputs of a cell, in words; empty if none does."
    stored, now = printed(stored), printed(now)
    for a, b in zip(stored, now):
        if not same_line(a, b, varies): return f'stored: {a}\n     now:    {b}'
    if len(stored) != len(now):
        return f'{len(stored)} lines are stored, {len(now)} are printed now: {(stored + now)[-1]}'
    return ''


def differences(path, notebook):
    "A line for each cell whose output is not the stored one."
    content = json.loads(path.read_text(encoding='utf-8'))
    stored = {cell['id']: cell for cell in content['cells']}
    same_machine = MACHINE_KEY not in content['metadata'] or content['metadata'][MACHINE_KEY] == machine()
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != 'code': continue
        old = stored[cell['id']]
        match = VARIES.search(''.join(old['source']))
        varies = match[1] if match else ''
        if varies == 'training' and not same_machine: continue
        said = difference(old['outputs'], cell.get('outputs', []), varies)
        if said: found.append(f'cell {number} prints something else than is stored; run `make pages`\n     {said}')
    return found


def says_the_same(stored, now):
    "Do two outputs differ at most in times, paths and versions? Pictures and HTML always count as new."
    shown = {kind for output in (*stored, *now) for kind in output.get('data', ())}
    return shown <= {'text/plain'} and len(stored) == len(now) and not difference(stored, now, '')


def store(path, notebook):
    "Keep the outputs in the notebook, without warnings and progress bars."
    content = json.loads(path.read_text(encoding='utf-8'))
    new = {cell['id']: cell.get('outputs', []) for cell in notebook.cells if cell.cell_type == 'code'}
    for cell in content['cells']:
        if cell['cell_type'] != 'code': continue
        kept = [output for output in new[cell['id']] if output.get('name') != 'stderr']
        if not says_the_same(cell['outputs'], kept): cell['outputs'] = json.loads(json.dumps(kept))
        cell['execution_count'] = None
        if VARIES.search(''.join(cell['source'])): content['metadata'][MACHINE_KEY] = machine()
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + '\n', encoding='utf-8')


if __name__ == '__main__':
    page = Path(sys.argv[1]).resolve()
    notebook, error = run(page)
    for cell in notebook.cells:
        for output in cell.get('outputs', []) if cell.cell_type == 'code' else []:
            if output['output_type'] == 'stream':
                for line in ''.join(output['text']).splitlines():
                    if line.startswith(SAYINGS): print(line)
    if error: sys.exit(error)
    if '--store' in sys.argv: store(page, notebook)
    elif '--compare' in sys.argv: sys.exit('\n'.join(differences(page, notebook)) or 0)
