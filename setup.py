"Reads everything from settings.ini, the one source of version, requirements and console scripts."
from configparser import ConfigParser

from setuptools import find_packages, setup

settings = ConfigParser(delimiters=['='])
settings.read('settings.ini', encoding='utf-8')
cfg = settings['DEFAULT']

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'],
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], license='Apache-2.0',
    python_requires='>=' + cfg['min_python'],
    packages=find_packages(include=[cfg['lib_name']]),
    package_data={cfg['lib_name']: ['*.js']},
    install_requires=cfg['requirements'].split(),
    extras_require={name: cfg[f'{name}_requirements'].split()
                    for name in ('dev', 'fast', 'formats', 'int8', 'onnx', 'ray', 'review')},
    entry_points={'console_scripts': cfg['console_scripts'].splitlines()},
)
