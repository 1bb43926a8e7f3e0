"""The two plain web servers: the chart repository, and git over smart HTTP, read only."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from aiohttp import web
from dulwich.errors import NotGitRepository
from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import GunzipFilter, HTTPGitApplication, LimitedInputFilter

LOG = logging.getLogger(__name__)

NAME = re.compile(r"^/?([A-Za-z0-9_-]+\.git)/?$")


def charts(folder: Path) -> web.Application:
    """The chart repository: the files of a folder."""
    app = web.Application()
    app.router.add_static("/", folder)
    return app


class Repositories(Backend):
    """The bare repositories directly below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_repository(self, path: str | bytes) -> Any:
        """Open one by its URL's path.

        Raises:
            NotGitRepository: there is none of that name.
        """
        text = path.decode() if isinstance(path, bytes) else path
        name = NAME.match(text)
        if name is None:
            raise NotGitRepository(text)
        return Repo(str(self._folder / name[1]))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug(format, *args)


class GitServer:
    """Serves repositories for fetching. Pushing goes by the file system, where its permissions protect it."""

    def __init__(self, folder: Path, port: int) -> None:
        application = HTTPGitApplication(Repositories(folder))
        del application.handlers[b"git-receive-pack"]
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.set_app(LimitedInputFilter(GunzipFilter(application)))
        self._thread = threading.Thread(target=self._server.serve_forever, name="git", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Serve from a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
