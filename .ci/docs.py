"""Build the site: the pages as they are stored, guides, a gallery, and the functions of the package (`make docs`).

    docs.py [FOLDER]     write the site into FOLDER (default: _docs), and say what is wrong with it

myst-nb shows notebooks with their stored outputs, runs nothing, and resolves the links between them; sphinx-book-theme
keeps its fonts and scripts in the site. So the site can be built and read without a network, as on a computer that
holds patients' data. (Quarto, which nbdev offers, is a program of its own, outside of Python's packages.)
"""
import base64
import importlib
import inspect
import io
import json
import re
import shutil
import sys
import time
from configparser import ConfigParser
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'
CHAPTERS = {'0': 'Ground', '1': 'Frames', '2': 'Network', '3': 'Masks', '4': 'Scores', '5': 'People', '6': 'Front'}
config = ConfigParser(delimiters=['='])
config.read(ROOT/'settings.ini', encoding='utf-8')
SETTINGS = config['DEFAULT']
CONF = {
    'project': SETTINGS['lib_name'], 'author': SETTINGS['author'], 'copyright': SETTINGS['copyright'],
    'release': SETTINGS['version'], 'extensions': ['myst_nb', 'sphinx-mathjax-offline'], 'root_doc': 'index',
    'myst_enable_extensions': ['dollarmath'], 'myst_heading_anchors': 4, 'myst_heading_slug_func': 'docs.anchor',
    'nb_execution_mode': 'off', 'nb_merge_streams': True,
    'suppress_warnings': ['mystnb.unknown_mime_type', 'misc.highlighting_failure'],   # widgets; what a terminal prints
    'html_theme': 'sphinx_book_theme', 'html_title': f"{SETTINGS['lib_name']} {SETTINGS['version']}",
    'html_show_sourcelink': False, 'html_copy_source': False,
    'html_theme_options': {'repository_url': SETTINGS['git_url'], 'use_download_button': False,
                           'use_fullscreen_button': False, 'show_toc_level': 2, 'navbar_persistent': []},
}


def anchor(title):
    "The anchor of a heading as in JupyterLab, which our links use: `Parts-of-one-job`."
    return title.strip().replace(' ', '-')


def notebook(path): return json.loads(path.read_text(encoding='utf-8'))


def source(cell): return ''.join(cell['source'])


def numbered_pages(): return sorted(NBS.glob('[0-9]*.ipynb'))


def toctree(caption, names):
    return '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *names, '```', ''])


REFERENCE = ['guides/commands', 'guides/data_folder', 'guides/words', 'guides/pages']      # to look things up in


def contents():
    "The table of contents, which the front page gets."
    def names(folder): return sorted(f'{folder}/{path.stem}' for path in (NBS/folder).iterdir()
                                     if path.suffix in ('.md', '.ipynb'))
    guides = [name for name in names('guides') if name not in REFERENCE]
    parts = [toctree('Start', ['tutorials/workflow', 'gallery']), toctree('Guides', guides),
             toctree('Reference', [*REFERENCE, 'api'])]
    for digit, title in CHAPTERS.items():
        pages = [page.stem for page in numbered_pages() if page.name[0] == digit]
        parts.append(toctree(f'{digit} {title}', pages))
    return '\n'.join([*parts, toctree('Tests', names('tests')), toctree('Benchmarks', names('benchmarks'))])


def for_readers(path, content):
    "A notebook without what is meant for nbdev: directives, and cells that only they fill."
    cells = []
    for cell in content['cells']:
        if source(cell).startswith('#| hide'): continue
        text = re.sub(r'^#\|.*\n?', '', source(cell), flags=re.M) if cell['cell_type'] == 'code' else source(cell)
        if path.parent == NBS: text = text.replace('](../', f"]({SETTINGS['git_url']}/blob/{SETTINGS['branch']}/")
        if text.strip(): cells.append(cell | {'source': text})
    if path.stem == 'index':
        cells.append({'cell_type': 'markdown', 'id': 'contents', 'metadata': {}, 'source': contents()})
    return content | {'cells': cells}


def first_picture(path):
    "The ending and bytes of the first picture that a page shows, or None."
    for cell in notebook(path)['cells']:
        for output in cell.get('outputs', []):
            for kind, ending in (('image/png', '.png'), ('image/jpeg', '.jpg')):
                data = output.get('data', {}).get(kind)
                if data: return ending, base64.b64decode(''.join(data))


def gallery(place):
    "A page with the first picture of each page; the pictures are written into `place`."
    lines = ['# Gallery', '',
             'The first picture of each page, as it was when the page was last run. All frames are synthetic.', '']
    for page in numbered_pages():
        picture = first_picture(page)
        if not picture: continue
        ending, content = picture
        (place/f'{page.stem}{ending}').write_bytes(content)
        title, _, what = source(notebook(page)['cells'][0]).splitlines()[:3]
        lines += [f'## [{title[2:]}]({page.name})', '', what[2:], '',
                  f'![{title[2:]}](gallery/{page.stem}{ending})', '']
    return '\n'.join(lines)


def comments_of(thing):
    "The comment beside each parameter, if the source can be read."
    from lumbar_seg.cli import parameter_comments
    has_own = inspect.isclass(thing) and not hasattr(thing, '__dataclass_fields__') and '__init__' in vars(thing)
    try: found = parameter_comments(thing.__init__ if has_own else thing)
    except (OSError, TypeError, ValueError, SyntaxError): found = {}
    return [f'- `{name}`: {comment}' for name, comment in found.items() if comment and name != 'self']


def methods_of(thing):
    "The public methods of a class, and what they do."
    for name, method in vars(thing).items() if inspect.isclass(thing) else ():
        if name.startswith('_') or not inspect.isfunction(method): continue
        what = inspect.getdoc(method) or 'see its page'
        yield f'- `.{name}()`: {what.splitlines()[0]}'


def described(name, thing):
    "A public function or class: its signature, what it does, the comment beside each parameter, and its methods."
    try: call = ['```python', f'{name}{inspect.signature(thing)}', '```', '']
    except ValueError: call = []
    return [f'### {name}', '', *call, inspect.getdoc(thing) or '', '', *comments_of(thing), '', *methods_of(thing), '']


def api():
    "A page with all public functions and classes, module by module."
    lines = ['# The functions of the package', '',
             'Each module is made from the page of the same name, where its functions are explained and tried.', '']
    for page in numbered_pages():
        name = page.stem.split('_', 1)[1]
        module = importlib.import_module(f'lumbar_seg.{name}')
        lines += [f'## lumbar_seg.{name}', '', f'{module.__doc__}. Page: [{page.stem}]({page.name})', '']
        for public in module.__all__:
            thing = getattr(module, public)
            if callable(thing): lines += described(public, thing)
    return '\n'.join(lines)


def write_source(folder):
    "What Sphinx reads: pages for readers, guides, pictures, and the two pages that are made here."
    from lumbar_seg.apps import PAGE_FOLDERS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PAGE_FOLDERS:
        shutil.copytree(NBS/name, folder/name, ignore=shutil.ignore_patterns('.*', '__pycache__', '*.ipynb'))
    for path in [*NBS.glob('*.ipynb'), *(path for name in PAGE_FOLDERS for path in (NBS/name).glob('*.ipynb'))]:
        (folder/path.relative_to(NBS)).write_text(json.dumps(for_readers(path, notebook(path))), encoding='utf-8')
    (folder/'gallery').mkdir()
    (folder/'gallery.md').write_text(gallery(folder/'gallery'), encoding='utf-8')
    (folder/'api.md').write_text(api(), encoding='utf-8')


class Links(HTMLParser):
    "The anchors of a page, its links, and what it loads."
    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ('id', 'name') if found.get(name)}
        if tag == 'a' and found.get('href'): self.links.add(found['href'])
        if tag == 'link' and found.get('rel') not in ('canonical', 'author', 'next', 'prev', 'index', 'search'):
            self.loaded.add(found.get('href'))
        if found.get('src'): self.loaded.add(found['src'])


def problems(site):
    "Links that lead nowhere, and what would be loaded from another machine."
    pages = {path: Links(path.read_text(encoding='utf-8')) for path in site.rglob('*.html')
             if '_static' not in path.parts}
    for path, page in pages.items():
        where = path.relative_to(site)
        for target in page.loaded:
            if re.match('(https?:)?//', target): yield f'{where} loads {target}'
        for link in page.links | page.loaded:
            if re.match(r'[a-z]+:|//', link): continue
            place, _, there = link.partition('#')
            file = (path.parent/unquote(place.partition('?')[0])).resolve() if place else path
            if not file.exists(): yield f'{where} links to {link}, which is not there'
            elif there and file in pages and unquote(there) not in pages[file].anchors:
                yield f'{where} links to {link}: {file.name} has no such heading'


def build(folder):
    "Write the site; what Sphinx warns of, and what `problems` finds."
    from sphinx.application import Sphinx
    warnings = io.StringIO()
    write_source(folder/'source')
    sphinx = Sphinx(folder/'source', None, folder/'html', folder/'doctrees', 'html', CONF, status=None,
                    warning=warnings)
    sphinx.build()
    return [*warnings.getvalue().splitlines(), *sorted(set(problems(folder/'html')))]


if __name__ == '__main__':
    began, folder = time.time(), Path(sys.argv[1] if len(sys.argv) > 1 else ROOT/'_docs').resolve()
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    if folder.exists() and any(folder.iterdir()) and not (folder/'doctrees').is_dir():
        sys.exit(f'{folder} holds something else than a site. Give a new folder.')
    found = build(folder)
    print(*found, sep='\n')
    size = sum(path.stat().st_size for path in (folder/'html').rglob('*') if path.is_file())
    print(f"{folder/'html/index.html'}: {size/1e6:.0f} MB, {time.time() - began:.0f} s, {len(found)} problems")
    sys.exit(bool(found))
