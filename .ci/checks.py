"""All tests of the project: `make test` runs this.

    checks.py            every check and every page; a page fails, too, if it prints something else than is stored in it
    checks.py --slow     the long version of those notebooks that have one: `make test-slow`
    checks.py --fix      write package, README and clean notebooks from the notebooks: `make export`
    checks.py --pages    run every page and keep its outputs: `make pages`
    checks.py --cells    a table of cell and line lengths

Prints a line for each test and closes with `N passed, N failed, N skipped`. Fails if a test fails or none ran.
`nbdev_test` runs the same notebooks, without the comparison of outputs and without the other checks.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
LIB, NBS, README = ROOT/'lumbar_seg', ROOT/'nbs', ROOT/'README.md'
MAX_NOTEBOOK_KB = 200
SLOW = 'LUMBAR_SEG_SLOW'         # a notebook that asks for this variable has a long version, whose outputs are stored
REAL = 'LUMBAR_SEG_REAL'         # one that asks for this variable uses real frames, whose outputs are never stored
# two notebooks at a time with one thread each are faster than one with two; no test needs a display or a network
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
    text = text.replace('](nbs/../', '](')
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
    "Every cell has an id, no notebook carries large outputs for ever, and every page is in the list of pages."
    listed = (NBS/'guides/pages.md').read_text(encoding='utf-8')
    unlisted = [f.name for f in NBS.glob('[0-9]*.ipynb') if f.name not in listed]
    problems = ''.join(f'{name} is not listed in guides/pages.md\n' for name in unlisted)
    for f in notebooks():
        content = json.loads(f.read_text(encoding='utf-8'))
        if any('id' not in cell for cell in content['cells']):
            problems += f'{f.name} has cells without an id: run `make export`\n'
        if f.stat().st_size > MAX_NOTEBOOK_KB*1000:
            problems += f'{f.name} is {f.stat().st_size//1000} kB, over {MAX_NOTEBOOK_KB}\n'
    return problems


def check_lint():
    "The notebooks; and in the exported package, names that only a test cell of its notebook imports."
    runs = [tool('ruff', 'check', '--quiet'), tool('ruff', 'check', '--quiet', '--select', 'F', 'lumbar_seg')]
    return ''.join(done.stdout + done.stderr for done in runs if done.returncode)


def check_console():
    "The installed command starts and knows its subcommands."
    command = [Path(sys.executable).parent/'lumbar_seg', '--help']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return '' if done.returncode == 0 and 'pseudo' in done.stdout else done.stdout + done.stderr


def has_long_version(path): return SLOW in path.read_text(encoding='utf-8')


def is_compared(path, slow):
    "Are the stored outputs those of the run about to be made? Long tests and benchmarks print what a machine measured."
    uses_real_frames = REAL in path.read_text(encoding='utf-8') and REAL in TEST_ENV
    if path.parent.name == 'benchmarks' or uses_real_frames: return False
    return not has_long_version(path) or (slow and path.parent.name == 'tutorials')


def run_page(path, *options, long=False):
    "Run a notebook in a fresh process: what is wrong, and what it prints for the test log."
    command = [sys.executable, ROOT/'.ci/pages.py', path, *options]
    environment = TEST_ENV | ({SLOW: '1'} if long else {})
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    return (done.stdout + done.stderr if done.returncode else ''), done.stdout.splitlines()


def store_pages():
    "Run every page and keep its outputs: the tutorial in its long version, long tests only with SLOW=1."
    TEST_ENV.pop(REAL, None)
    slow = bool(os.environ.get('SLOW'))
    chosen = [path for path in notebooks() if path.parent.name != 'benchmarks'
              and (slow or path.parent.name == 'tutorials' or not has_long_version(path))]

    def stored(path): return run_page(path, '--store', long=has_long_version(path))
    failed = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for path, (problem, _) in zip(chosen, pool.map(stored, chosen), strict=True):
            print(f"{'FAIL' if problem else 'ok  '} {path.relative_to(ROOT)}", flush=True)
            if problem: print(problem.rstrip(), flush=True)
            failed += bool(problem)
    return bool(failed)


def page_lengths(path):
    "Lines of code in each exported cell of a notebook, in all its cells, and how many are over 120 characters."
    content = json.loads(path.read_text(encoding='utf-8'))
    cells = [''.join(cell['source']).splitlines() for cell in content['cells'] if cell['cell_type'] == 'code']
    code = [[line for line in cell if line.strip() and not line.startswith('#|')] for cell in cells]
    exported = [len(lines) for cell, lines in zip(cells, code) if cell and cell[0].startswith('#| export')]
    return exported, sum(map(len, code)), sum(len(line) > 120 for lines in code for line in lines)


def cell_table():
    "Lengths of exported cells and of all lines, page by page."
    def row(name, exported, lines, wide):
        over_25, over_45 = (sum(n > limit for n in exported) for limit in (25, 45))
        middle, longest = median(exported), max(exported)
        return f'{name:36}{len(exported):8}{middle:8g}{over_25:9}{over_45:9}{longest:9}{lines:8}{wide:10}'
    print(f"{'page':36}{'cells':>8}{'median':>8}{'over 25':>9}{'over 45':>9}{'longest':>9}{'lines':>8}{'over 120':>10}")
    found = {str(path.relative_to(NBS)): page_lengths(path) for path in notebooks()}
    for name, (exported, lines, wide) in found.items():
        if exported: print(row(name, exported, lines, wide))
    exported = [n for lengths, _, _ in found.values() for n in lengths]
    print(row('all, with tests and benchmarks', exported, *(sum(row[k] for row in found.values()) for k in (1, 2))))


def main(slow):
    passed, failed, skipped = 0, 0, 0

    def report(name, seconds, problem, said=()):
        nonlocal passed, failed, skipped
        passed += not problem
        failed += bool(problem)
        skipped += sum(line.startswith('skipped') for line in said)
        print(f"{'FAIL' if problem else 'ok  '} {seconds:6.1f} s  {name}", *(f'\n     {s}' for s in said), flush=True)
        if problem: print(problem.rstrip(), flush=True)

    chosen = [path for path in notebooks() if not slow or has_long_version(path)]
    chosen.sort(key=lambda path: path.parent == NBS)          # tests and benchmarks take longest, so they start first
    for check in () if slow else (check_exports, check_notebooks, check_lint, check_console):
        start = time.time()
        problem = check()
        report(check.__name__.replace('_', ' '), time.time() - start, problem)

    def timed(path):
        start = time.time()
        options = ['--compare'] if is_compared(path, slow) else []
        return (path, *run_page(path, *options, long=slow), time.time() - start)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for path, problem, said, seconds in pool.map(timed, chosen):
            report(path.relative_to(ROOT), seconds, problem, [line for line in said if not problem])
    if not chosen: report('notebooks', 0, f'there is none in {NBS}')
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return bool(failed)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ('slow', 'fix', 'pages', 'cells'): parser.add_argument(f'--{option}', action='store_true')
    options = parser.parse_args()
    if options.fix: sys.exit(export())
    if options.pages: sys.exit(store_pages())
    if options.cells: sys.exit(cell_table())
    sys.exit(main(options.slow))
