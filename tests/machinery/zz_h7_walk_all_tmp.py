"""Walk all blocks and collect failures rather than stop."""
import contextlib, sys, time, os
from pathlib import Path
sys.path.insert(0, "/work/main/tests/machinery")
import pytest, guide_pages, test_guide_walk as w
from guide_pages import LAPTOP, SERVER
def test_all(site, tmp_path_factory):
    repository = w.repository.__wrapped__(tmp_path_factory) if hasattr(w.repository, "__wrapped__") else w.repository.__pytest_wrapped__.obj(tmp_path_factory)
    bad = []
    blocks = [b for b in guide_pages.blocks(site) if b.title in (LAPTOP, SERVER)]
    for chapter in guide_pages.chapters():
        with contextlib.ExitStack() as servers:
            for block in (b for b in blocks if b.chapter == chapter):
                t = time.monotonic()
                try:
                    if block.title == SERVER: servers.enter_context(w.server(block, repository))
                    else: w.run(block, repository)
                except BaseException as e:
                    bad.append(f"##### {block}\n{e}"); print(bad[-1], flush=True)
                print(f"{time.monotonic()-t:.1f} s {block}", flush=True)
    assert not bad, len(bad)
