"""All tests of the project: `make test` runs this. `--fix` writes what `make export` writes: package, README, clean notebooks.
`--slow` runs the long version of those notebooks that have one: `make test-slow`.

Prints a line for each test and closes with `N passed, N failed, N skipped`. Fails if a test fails or none ran.
"""
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIB, NBS, README = ROOT/'lumbar_seg', ROOT/'nbs', ROOT/'README.md'
MAX_NOTEBOOK_KB = 200
SLOW = 'LUMBAR_SEG_SLOW'         # a notebook that asks for this variable has a long version
# two notebooks at a time with one thread each are faster than one with two; tests need no display, no network and nobody's data
TEST_ENV = {k: v for k, v in os.environ.items() if k != 'LUMBAR_SEG_ROOT'} | {
    'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'Agg', 'HF_HUB_OFFLINE': '1', 'PYTHONPATH': str(ROOT)}


def notebooks():
    return sorted(f for f in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in f.parts)


def tool(*command):
    return subprocess.run([sys.executable, '-m', *command], cwd=ROOT, env=TEST_ENV, capture_output=True, text=True)


def readme_text():
    "README.md as nbconvert makes it from nbs/index.ipynb, without the cells marked `#| hide`."
    import nbformat
    from nbconvert import MarkdownExporter
    notebook = nbformat.read(NBS/'index.ipynb', as_version=4)
    notebook.cells = [c for c in notebook.cells if not c.source.startswith('#| hide')]
    text = MarkdownExporter().from_notebook_node(notebook)[0]
    text = re.sub(r'\]\((?!https?:|#)', '](nbs/', text)      # links are relative to nbs/ in the notebook
    return '<!-- made from nbs/index.ipynb by `make export`; edit that -->\n\n' + text.strip() + '\n'


def export():
    "Package, clean notebooks and README, from the notebooks."
    for command in ('nbdev_export', 'nbdev_clean'):
        call = f'from nbdev.doclinks import nbdev_export; from nbdev.clean import nbdev_clean; {command}()'
        done = subprocess.run([sys.executable, '-c', call], cwd=ROOT, env=TEST_ENV, capture_output=True, text=True)
        if done.returncode: return done.stdout + done.stderr
    README.write_text(readme_text(), encoding='utf-8')


def check_exports():
    "Package, notebooks and README are what a fresh export writes. The tree is left as it was."
    files = [*LIB.glob('*.py'), *notebooks(), README]
    before = {f: f.read_bytes() for f in files if f.exists()}
    try:
        failure = export()
        after = {f: f.read_bytes() for f in {*files, *LIB.glob('*.py')} if f.exists()}
    finally:
        for f in set(LIB.glob('*.py')) - set(before): f.unlink()
        for f, content in before.items(): f.write_bytes(content)
    if failure: return failure
    stale = sorted(str(f.relative_to(ROOT)) for f in after if before.get(f) != after[f])
    modules = {m for f in notebooks() for m in re.findall(r'#\| default_exp (\w+)', f.read_text(encoding='utf-8'))}
    orphans = [f.name for f in LIB.glob('*.py') if f.stem not in modules | {'__init__', '_modidx'}]
    return ''.join([f'differs from its notebook: {", ".join(stale)}; run `make export`\n' if stale else '',
                    f'has no notebook: {", ".join(orphans)}; delete it\n' if orphans else ''])


def check_notebooks():
    "Every cell has an id, and no notebook carries large outputs for ever."
    problems = ''
    for f in notebooks():
        content = json.loads(f.read_text(encoding='utf-8'))
        if any('id' not in c for c in content['cells']): problems += f'{f.name} has cells without an id: run `make export`\n'
        if f.stat().st_size > MAX_NOTEBOOK_KB*1000: problems += f'{f.name} is {f.stat().st_size//1000} kB, over {MAX_NOTEBOOK_KB}\n'
    return problems


def check_lint():
    "The notebooks; and in the exported package, names that only a test cell of its notebook imports."
    runs = [tool('ruff', 'check', '--quiet'), tool('ruff', 'check', '--quiet', '--select', 'F', 'lumbar_seg')]
    return ''.join(done.stdout + done.stderr for done in runs if done.returncode)


def check_console():
    "The installed command starts and knows its subcommands."
    done = subprocess.run([Path(sys.executable).parent/'lumbar_seg', '--help'], cwd=ROOT, capture_output=True, text=True)
    return '' if done.returncode == 0 and 'pseudo' in done.stdout else done.stdout + done.stderr


def run_notebook(path):
    "nbdev's own test of one notebook in a fresh process. A cell that skips prints a line `skipped: why`; one that counts, `measured: what`."
    call = ('import sys; from pathlib import Path; from nbdev.test import test_nb; from nbdev.config import get_config; c = get_config(); '
            'sys.exit(not test_nb(Path(sys.argv[1]), skip_flags=c.tst_flags.split(), basepath=c.config_path)[0])')
    done = subprocess.run([sys.executable, '-c', call, str(path)], cwd=path.parent, env=TEST_ENV, capture_output=True, text=True)
    return (done.stdout + done.stderr if done.returncode else ''), re.findall(r'^(?:skipped|measured): .*', done.stdout, flags=re.M)


def main(slow):
    passed, failed, skipped = 0, 0, 0

    def report(name, seconds, problem, said=()):
        nonlocal passed, failed, skipped
        passed, failed, skipped = passed + (not problem), failed + bool(problem), skipped + sum(s.startswith('skipped') for s in said)
        print(f"{'FAIL' if problem else 'ok  '} {seconds:6.1f} s  {name}", *(f'\n     {s}' for s in said), flush=True)
        if problem: print(problem.rstrip(), flush=True)

    chosen = [f for f in notebooks() if not slow or SLOW in f.read_text(encoding='utf-8')]
    if slow: TEST_ENV[SLOW] = '1'
    for check in () if slow else (check_exports, check_notebooks, check_lint, check_console):
        start = time.time()
        problem = check()
        report(check.__name__.replace('_', ' '), time.time() - start, problem)

    def timed(path):
        start = time.time()
        return (path, *run_notebook(path), time.time() - start)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for path, problem, said, seconds in pool.map(timed, chosen):
            report(path.relative_to(ROOT), seconds, problem, said)
    if not chosen: report('notebooks', 0, f'there is none in {NBS}')
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return bool(failed)


if __name__ == '__main__':
    if '--fix' in sys.argv: sys.exit(export())
    sys.exit(main('--slow' in sys.argv))
