"What the benchmark pages share: an earlier package, fresh processes, and ways that take turns."
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from lumbar_seg.layout import Paths

PROJECT = next(folder for folder in Path(__file__).resolve().parents if (folder/'settings.ini').exists())
BEFORE = '1fcb40d'            # the last commit before bfloat16, `--part` and `--ray`

COMMAND = '''
import re, sys
from lumbar_seg.cli import main
try: status = main(sys.argv[1:])
except SystemExit as stop: status = stop.code
memory = open('/proc/self/status').read() if sys.platform == 'linux' else ''
peak = re.search(r'VmHWM:\\s+(\\d+)', memory)
print(f'peak {int(peak[1])/1024 if peak else float("nan"):.1f}')
sys.exit(status)
'''


def earlier_package(commit):
    "The package of a commit, in a temporary folder; None, with a line that says so, outside a clone that has it."
    archive = subprocess.run(['git', 'archive', commit, 'lumbar_seg'], cwd=PROJECT, capture_output=True)
    if archive.returncode:
        print(f'skipped: the package before. There is no commit {commit} here.')
        return None
    folder = Path(tempfile.mkdtemp())
    subprocess.run(['tar', 'x', '-C', str(folder)], input=archive.stdout, check=True)
    return folder


def environment(package=PROJECT):
    "For a process that uses this package, without progress bars."
    return os.environ | {'PYTHONPATH': str(package), 'TQDM_DISABLE': '1'}


def python(*arguments, package=PROJECT):
    "Seconds of a fresh Python process, and what it prints. `RuntimeError` if it fails."
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, arguments)], env=environment(package), capture_output=True,
                          text=True, cwd=tempfile.gettempdir())
    seconds = time.perf_counter() - began
    if done.returncode: raise RuntimeError(f'{done.stdout}{done.stderr}'[-3000:])
    return seconds, done.stdout


def command(*arguments, package=PROJECT):
    "Seconds, and peak memory in MB, of `lumbar_seg` with these arguments; memory is nan where there is no /proc."
    seconds, said = python('-c', COMMAND, *arguments, package=package)
    return seconds, float(said.split()[-1])


def in_turn(ways, rounds):
    "A row for each round and way: the numbers it returns. All take turns, so that what else runs affects all alike."
    rows = [{'round': n, 'way': way} | measure() for n in range(rounds) for way, measure in ways.items()]
    return pd.DataFrame(rows).set_index(['round', 'way'])


def medians(measured):
    "Of each way over the rounds of `in_turn`."
    return measured.groupby('way', sort=False).median()


def ratios(measured, column, to):
    "`column` of each way divided by that of the way `to` in the same round; the median over rounds."
    by_way = measured[column].unstack('way', sort=False)
    return by_way.div(by_way[to], axis=0).median()


def copied_data(source, root):
    "Frames, masks, lists and tables of a data folder, in another place, so that nothing is written into the first."
    source, paths = Paths(source), Paths(root)
    for place in (source.images, source.masks_manual, source.splits):
        if place.is_dir(): shutil.copytree(place, paths.root/place.name)
    for name in ('frames.csv', 'settings.json'):
        if (source.root/name).exists(): shutil.copy2(source.root/name, paths.root/name)
    return paths
