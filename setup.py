"Reads everything from settings.ini, the one source of version, requirements and console scripts."
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

settings = ConfigParser(delimiters=['='])
settings.read('settings.ini', encoding='utf-8')
cfg = settings['DEFAULT']
PAGE_FOLDERS = 'benchmarks', 'guides', 'images', 'tests', 'tutorials'


def page_files():
    "The notebooks and what they show; nothing that somebody may have put beside them, such as frames of patients."
    nbs = Path(cfg['nbs_path'])
    files = [*nbs.glob('*.ipynb'), *(file for name in PAGE_FOLDERS for file in (nbs/name).glob('*'))]
    return [file for file in files if file.is_file() and not file.name.startswith('.')]


class BuildWithPages(build_py):
    "Puts the notebooks into the wheel, where `lumbar_seg pages` finds them, and all it takes into the source archive."

    def run(self):
        super().run()
        if self.editable_mode: return
        pages = Path(self.build_lib)/cfg['lib_name']/'pages'
        shutil.rmtree(pages, ignore_errors=True)            # of an earlier build
        for file in page_files():
            place = pages/file.relative_to(cfg['nbs_path'])
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)

    def get_source_files(self):
        return [*super().get_source_files(), 'settings.ini', *map(str, page_files())]


setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'],
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], license='Apache-2.0',
    long_description=Path('README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    python_requires='>=' + cfg['min_python'],
    packages=find_packages(include=[cfg['lib_name']]),
    package_data={cfg['lib_name']: ['*.js']},
    install_requires=cfg['requirements'].split(),
    extras_require={name.removesuffix('_requirements'): value.split()
                    for name, value in cfg.items() if name.endswith('_requirements')},
    entry_points={'console_scripts': cfg['console_scripts'].splitlines()},
    cmdclass={'build_py': BuildWithPages},
)
